"""flask.wrappers: the application's response object, which calls ``start_response``, under any WSGI server.

Limits: a response class that does not call Flask's ``Response.__call__`` does not pass the exception on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import applications
from ..patching import Capability, Decorate


def _watch_call(call: Callable[..., Any]) -> Callable[..., Any]:
    def watched(response: Any, environ: Any, start_response: Any) -> Any:
        return call(response, environ, applications.begin_response(environ, start_response))

    return watched


APPLICATION_PATCHES = (Decorate("flask.wrappers", "Response.__call__", Capability.EXC_INFO, _watch_call),)
