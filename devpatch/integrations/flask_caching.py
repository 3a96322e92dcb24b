"""flask_caching: the calls of each cache. They are watched on the classes of its backends.

Limits: ``inc``, ``dec`` and the methods of a single backend count as what they call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..lifecycle.costs import CacheCall, deleted, looked_up, stored, watch_cache_method
from ..lifecycle.tracebacks import hide_own_frames
from ..patching import Capability, Connect, Decorate, ledger

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]


def _get(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    return CacheCall(misses=1) if result is None else CacheCall(hits=1)


def _get_many(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    values = list(result.values()) if isinstance(result, dict) else result
    misses = sum(value is None for value in values)
    return CacheCall(hits=len(values) - misses, misses=misses)


def _set_many(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    return CacheCall(sets=len(args[0] if args else kwargs["mapping"]))


def _delete_many(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    return CacheCall(deletes=len(args))


_METHODS = {
    "get": watch_cache_method(_get),
    "has": watch_cache_method(looked_up),
    "get_many": watch_cache_method(_get_many),
    "get_dict": watch_cache_method(_get_many),
    "set": watch_cache_method(stored),
    "add": watch_cache_method(stored),
    "set_many": watch_cache_method(_set_many),
    "delete": watch_cache_method(deleted),
    "delete_many": watch_cache_method(_delete_many),
    "clear": watch_cache_method(deleted),
}


def _watch_init(init_app: Callable[..., Any]) -> Callable[..., Any]:
    _watch_backends()  # The program may have made its caches already.

    def watched(cache: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return init_app(cache, *args, **kwargs)
        finally:
            _watch_backends()

    return watched


def _watch_backends() -> None:
    for kind in _subclasses(sys.modules["flask_caching.backends.base"].BaseCache):
        ledger.decorate_methods(kind, {name: make for name, make in _METHODS.items() if hasattr(kind, name)})


def _subclasses(kind: Any) -> Iterator[type]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _hide_frames(sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
    if exception is not None:
        hide_own_frames(exception)


PATCHES = (
    # With its arguments, so that the check does not call the function that makes the new one.
    Decorate("flask_caching", "Cache.init_app", Capability.COSTS, _watch_init, ("cache", "app")),
    # Flask sends it before it prints the traceback. A call of a cache that failed has a frame of devpatch.
    Connect("flask.signals", "got_request_exception", Capability.COSTS, _hide_frames),
)
