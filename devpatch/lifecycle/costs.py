"""What a request costs: integrations report its queries, its calls of caches and its route to its observer.

A feature sets ``Request.costs`` when a request begins, and removes it when the request is over. So a query of an
ended request, or one outside of requests, belongs to none.

Limits: a thread that a view starts by itself has no context (before Python 3.14), so its queries belong to none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from . import requests
from .requests import Request


class CacheCall(NamedTuple):
    """What one call of a cache did, in numbers of keys."""

    hits: int = 0
    misses: int = 0
    sets: int = 0
    deletes: int = 0


def looked_up(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> CacheCall:
    """Describe a call that says whether the cache has a key."""
    return CacheCall(hits=1) if result else CacheCall(misses=1)


def stored(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> CacheCall:
    """Describe a call that stores one value."""
    return CacheCall(sets=1)


def deleted(args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> CacheCall:
    """Describe a call that deletes one value, or all."""
    return CacheCall(deletes=1)


class Details(NamedTuple):
    """What a framework knows of its request."""

    route: str | None = None
    session: str | None = None  # the session's key
    user: str | None = None


class Observer:
    """Receives what one request costs, also from several threads."""

    # Both are set by the framework's integration, and may raise.
    details: Callable[[], Details] | None = None
    is_static: Callable[[], bool] | None = None  # whether it is for a static file, once it has a route

    def query(self, sql: Any, parameters: Any, seconds: float) -> None:
        """Record a query of a database. Called in the thread that made it, also if it failed. Never raises.

        ``sql`` is a string, or an object of the database's driver.
        """

    def calling_thread(self) -> None:
        """Act before code of the request calls other code in another thread. Called in the calling thread."""

    def cache_call(self, call: CacheCall, seconds: float) -> None:
        """Record a call of a cache."""

    def headers(self, is_stream: bool) -> list[tuple[str, str]]:
        """Return the headers to add to the response. Its first byte is about to be written.

        ``is_stream`` says whether the rest of the response is still being made.
        """
        return []


# The source files of the functions by which a thread runs code for another thread.
thread_entries: list[str] = []

# In a thread without the context: the request whose application runs there. It may be over already.
_adopted: ContextVar[Request | None] = ContextVar("devpatch_adopted_request", default=None)


def current() -> Observer | None:
    """Return the observer of this context's request, or None."""
    request = requests.running() or _adopted.get()
    return None if request is None else request.costs


def begin(environ: Any, details: Callable[[], Details], is_static: Callable[[], bool] | None = None) -> None:
    """Record that a framework handles ``environ`` in this thread, and what it knows of the request.

    The arguments are those of ``Observer``.
    """
    request = requests.of(environ)
    if request is None or request.costs is None:
        return
    if requests.running() is not request:
        _adopted.set(request)
    request.costs.details = details
    request.costs.is_static = is_static


def leave_out(environ: Any) -> None:
    """Record that the request of ``environ`` is for a static file. What that costs is not observed."""
    request = requests.of(environ)
    if request is not None:
        request.costs = None


def calling_thread() -> None:
    """Report that the running code is about to call other code in another thread. Never raises."""
    observer = current()
    if observer is not None:
        try:
            observer.calling_thread()
        except Exception:
            pass


def headers(request: Request | None, is_stream: bool) -> list[tuple[str, str]]:
    """Return the headers to add to the response of ``request``, whose first byte is about to be written."""
    observer = None if request is None else request.costs
    if request is None or observer is None:
        return []
    try:
        if observer.is_static is not None and observer.is_static():
            request.costs = None
            return []
        return observer.headers(is_stream)
    except Exception:
        return []


# Whether this context is in a call of a cache. Methods of caches call each other.
_in_cache: ContextVar[bool] = ContextVar("devpatch_in_cache", default=False)

# Returns what a call did, from its arguments without ``self`` and its result.
Describe = Callable[[tuple[Any, ...], Mapping[str, Any], Any], CacheCall]


def watch_cache_method(describe: Describe) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator for a method of a cache. It reports each call that was not made by another such method."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            observer = current()
            if observer is None or _in_cache.get():
                return method(*args, **kwargs)
            token = _in_cache.set(True)
            began = time.perf_counter()
            try:
                result = method(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - began
                _in_cache.reset(token)
            try:
                observer.cache_call(describe(args[1:], kwargs, result), seconds)
            except Exception:
                pass  # A backend with other arguments. Its call is not counted.
            return result

        return watched

    return decorate
