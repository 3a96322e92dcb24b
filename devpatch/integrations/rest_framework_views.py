"""rest_framework.views: exceptions that Django REST framework's exception handler turned into a response."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import requests
from ..patching import Capability, Decorate


def _watch_get_handler(get: Callable[..., Any]) -> Callable[..., Any]:
    def watched(view: Any) -> Any:
        handler = get(view)

        def handle(error: BaseException, context: Any) -> Any:
            response = handler(error, context)
            request = getattr(view, "request", None)
            # Under ASGI, a request has a scope and no environ.
            known = requests.of(getattr(request, "environ", None) or getattr(request, "scope", None))
            if response is not None and known is not None:
                known.note_handled(error, "django", getattr(response, "status_code", 0))
            return response

        return handle

    return watched


PATCHES = (
    Decorate("rest_framework.views", "APIView.get_exception_handler", Capability.HANDLED, _watch_get_handler),
)
