"""django.core.servers.basehttp: ``run``, which makes and starts runserver's server."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import serving, threads
from ..patching import Capability, Expect, Wrap


def _observe_run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    call = inspect.signature(wrapped).bind(*args, **kwargs)
    own = bool(call.arguments.get("threading"))
    serving.starting("runserver", threads=own)
    call.arguments["threading"] = threads.handles_at_once(own)
    serving.claim()
    return wrapped(*call.args, **call.kwargs)


_MODULE = "django.core.servers.basehttp"
# runserver binds the function by name, so it is patched as soon as its module has been executed.
ENTRY_PATCHES = (Wrap(_MODULE, "run", Capability.START, _observe_run, ("addr", "port", "wsgi_handler")),)
PATCHES = (
    Expect(_MODULE, "run", Capability.THREADS, ("addr", "port", "wsgi_handler", "ipv6", "threading")),
    # What Django does in it, once for each request, is done again for the requests of a kept connection.
    Expect(_MODULE, "WSGIRequestHandler.handle", Capability.THREADS, ("handler",)),
    Expect(_MODULE, "WSGIRequestHandler.handle_one_request", Capability.THREADS, ("handler",)),
)
