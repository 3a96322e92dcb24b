"""django.core.handlers.wsgi: what Django knows of a request: its route, its session and its user.

They are read from the request object when the response is done, and only if the application has loaded them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from ..lifecycle import costs
from ..patching import Capability, Decorate


def _watch_init(init: Callable[..., Any]) -> Callable[..., Any]:
    def watched(request: Any, environ: Any) -> None:
        __traceback_hide__ = True
        init(request, environ)
        if request.path.startswith(_static_prefixes()):
            costs.leave_out(environ)
        else:
            costs.begin(environ, lambda: _details(request))

    return watched


def _details(request: Any) -> costs.Details:
    return costs.Details(
        route=getattr(request.resolver_match, "route", None),
        session=getattr(vars(request).get("session"), "session_key", None),
        user=_name_of(request),
    )


def _name_of(request: Any) -> str | None:
    """Return the name of the user, if the application has asked for the user."""
    from django.utils.functional import LazyObject

    known = vars(request)
    user = known.get("_cached_user") or known.get("_acached_user") or known.get("user")
    if user is None or isinstance(user, LazyObject):
        return None
    return user.get_username() or None


@lru_cache(maxsize=1)
def _static_prefixes() -> tuple[str, ...]:
    """Return the paths of static and media files."""
    from django.conf import settings

    prefixes = (getattr(settings, name, None) for name in ("STATIC_URL", "MEDIA_URL"))
    # Django reads an empty URL as "/".
    return tuple(prefix for prefix in prefixes if isinstance(prefix, str) and prefix.strip("/"))


PATCHES = (Decorate("django.core.handlers.wsgi", "WSGIRequest.__init__", Capability.COSTS, _watch_init),)
