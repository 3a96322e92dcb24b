"""django.core.cache: the calls of each cache. They are watched on the classes of the caches that a program uses.

Limits: a ``get`` that returns its default counts as a miss, also if that value was stored. ``get_or_set`` and
other methods that call these count as what they call.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from ..lifecycle.costs import CacheCall, deleted, looked_up, stored, watch_cache_method
from ..patching import Capability, Decorate, ledger

Args = tuple[Any, ...]
Kwargs = Mapping[str, Any]


def _get(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    default = args[1] if len(args) > 1 else kwargs.get("default")
    return CacheCall(misses=1) if result is default else CacheCall(hits=1)


def _set_many(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    return CacheCall(sets=len(args[0] if args else kwargs["data"]))


def _delete_many(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    return CacheCall(deletes=len(args[0] if args else kwargs["keys"]))


def _get_many(args: Args, kwargs: Kwargs, result: Any) -> CacheCall:
    keys = args[0] if args else kwargs["keys"]
    return CacheCall(hits=len(result), misses=len(keys) - len(result))


def _with_list(decorate: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the keys on as a list, because those of a generator could not be counted."""

    def decorate_with_list(method: Callable[..., Any]) -> Callable[..., Any]:
        watched = decorate(method)

        def call(cache: Any, keys: Any, *args: Any, **kwargs: Any) -> Any:
            return watched(cache, keys if hasattr(keys, "__len__") else list(keys), *args, **kwargs)

        return call

    return decorate_with_list


_METHODS = {
    "get": watch_cache_method(_get),
    "has_key": watch_cache_method(looked_up),
    "get_many": _with_list(watch_cache_method(_get_many)),
    "set": watch_cache_method(stored),
    "add": watch_cache_method(stored),
    "set_many": watch_cache_method(_set_many),
    "delete": watch_cache_method(deleted),
    "delete_many": _with_list(watch_cache_method(_delete_many)),
    "clear": watch_cache_method(deleted),
}


def _watch_class(cache: Any) -> None:
    kind = type(cache)
    ledger.decorate_methods(kind, {name: make for name, make in _METHODS.items() if hasattr(kind, name)})


def _existing() -> list[Any]:
    """Return this thread's caches. There are none without settings."""
    try:
        return list(sys.modules["django.core.cache"].caches.all(initialized_only=True))
    except Exception:
        return []


def _watch_create(create: Callable[..., Any]) -> Callable[..., Any]:
    for cache in _existing():
        _watch_class(cache)

    def watched(handler: Any, alias: str) -> Any:
        cache = create(handler, alias)
        _watch_class(cache)
        return cache

    return watched


PATCHES = (
    # With its arguments, so that the check does not call the function that makes the new one.
    Decorate(
        "django.core.cache",
        "CacheHandler.create_connection",
        Capability.COSTS,
        _watch_create,
        ("handler", "alias"),
    ),
)
