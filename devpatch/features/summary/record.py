"""What one request costs: its observer, and the numbers of the line, the header and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from ...lifecycle import threads
from ...lifecycle.costs import CacheCall, Details, Observer
from ...lifecycle.requests import Request
from . import body
from .places import Place, own_line, remember_caller
from .queries import alike, controls_transaction

N_PLUS_ONE = 10  # more alike queries than this are an N+1

# Called for each query: its SQL, its parameters, its time in seconds, and the line that made it.
ShowQuery = Callable[[str, Any, float, "Place | None"], object]


class Alike:
    """The queries of a request that differ in their values only."""

    __slots__ = ("has_place", "place", "sql", "times")

    def __init__(self, sql: str) -> None:
        """``sql`` has no values."""
        self.sql = sql
        self.times: list[float] = []  # seconds
        self.place: Place | None = None  # the line that made one of them, if one was found
        self.has_place = False  # whether it was looked for


class Record(Observer):
    """Records what one request costs."""

    is_stream = False
    cpu = 0.0  # seconds
    growth = 0  # bytes
    _copy: body.ResponseCopy | None = None
    _first_byte: float | None = None
    _last_byte: float | None = None

    def __init__(
        self,
        request: Request,
        parts: Collection[str],
        resident: Callable[[], int],
        show_query: ShowQuery | None,
    ) -> None:
        """``parts`` are those of DEVPATCH_SUMMARY. ``resident`` returns the process's memory in bytes."""
        self._request = request
        self._parts = parts
        self._has_sql = "sql" in parts
        self._resident = resident
        self._show_query = show_query
        self._alike: dict[str, Alike] = {}  # by the SQL without values
        self.cache_calls: list[tuple[CacheCall, float]] = []
        self.waited = threads.take_wait()
        self.time = time.time()
        self._memory = resident()
        self._cpu = time.thread_time()
        self._began = time.perf_counter()

    def query(self, sql: Any, parameters: Any, seconds: float) -> None:
        """See Observer.query."""
        if not self._has_sql:
            return
        try:
            sql = sql if isinstance(sql, str) else str(sql)
            text = alike(sql)
            found = self._alike.get(text) or self._alike.setdefault(text, Alike(text))
            found.times.append(seconds)
            if self._show_query is not None:
                found.place = own_line()
                self._show_query(sql, parameters, seconds, found.place)
            elif not found.has_place and len(found.times) > 1:
                # Not at the first one: most queries are not repeated.
                found.has_place, found.place = True, own_line()
        except Exception:
            pass  # An object without a text.

    def calling_thread(self) -> None:
        """See Observer.calling_thread."""
        if self._has_sql:
            remember_caller()

    def cache_call(self, call: CacheCall, seconds: float) -> None:
        """See Observer.cache_call."""
        if "cache" in self._parts:
            self.cache_calls.append((call, seconds))

    def headers(self, is_stream: bool) -> list[tuple[str, str]]:
        """See Observer.headers."""
        if self._first_byte is not None:
            return []
        self._first_byte = time.perf_counter()
        self.is_stream = is_stream
        if "ajax" in self._parts and not is_stream and body.is_ajax(self._request.environ):
            self._watch_body()
        if is_stream or "header" not in self._parts:
            return []
        return [("Server-Timing", self._server_timing())]

    def _watch_body(self) -> None:
        try:
            self._copy = body.ResponseCopy(self._request.writer)
        except AttributeError:
            pass  # A writer of another kind.

    def _server_timing(self) -> str:
        text = f"total;dur={self.first_byte * 1000:.1f}"
        if self._has_sql:
            number, seconds = self.queries()
            text += f', sql;dur={seconds * 1000:.1f};desc="{count(number, "query")}"'
        if self.cache_calls:
            text += f', cache;dur={self.cache_seconds * 1000:.1f};desc="{described(self.cache)}"'
        if self.waited:
            text += f", queue;dur={self.waited * 1000:.1f}"
        return text

    def written(self) -> None:
        """Record that the last byte was written. Only the first call counts."""
        if self._last_byte is None:
            self._last_byte = time.perf_counter()
            self.cpu = time.thread_time() - self._cpu
            self.growth = self._resident() - self._memory
            if self._copy is not None:
                self._copy.close()

    def known(self) -> Details:
        """Return what the framework knows of the request. Never raises."""
        try:
            return Details() if self.details is None else self.details()
        except Exception:
            return Details()

    @property
    def total(self) -> float:
        """Seconds from the call of the application to the last byte."""
        return (self._last_byte or time.perf_counter()) - self._began

    @property
    def first_byte(self) -> float:
        """Seconds from the call of the application to the first byte."""
        return (self._first_byte or self._last_byte or time.perf_counter()) - self._began

    def queries(self) -> tuple[int, float]:
        """Return the number of queries, and their time in seconds."""
        times = [seconds for group in list(self._alike.values()) for seconds in group.times]
        return len(times), sum(times)

    def most_repeated(self) -> Alike | None:
        """Return the queries that were made most often, or None if none was repeated."""
        found = None
        for group in list(self._alike.values()):
            if len(group.times) > (len(found.times) if found else 1) and not controls_transaction(group.sql):
                found = group
        return found

    @property
    def cache(self) -> CacheCall:
        """The sum of all calls of caches."""
        return CacheCall(*map(sum, zip(CacheCall(), *(call for call, _ in self.cache_calls), strict=True)))

    @property
    def cache_seconds(self) -> float:
        """The time of all calls of caches."""
        return sum(seconds for _call, seconds in self.cache_calls)

    @property
    def json(self) -> str | None:
        """The beginning of a JSON response to a call of fetch or XMLHttpRequest."""
        return None if self._copy is None else self._copy.json()


_PLURALS = {"query": "queries", "miss": "misses"}


def count(number: int, noun: str) -> str:
    """Return "1 query" or "2 queries"."""
    return f"{number} {noun if number == 1 else _PLURALS.get(noun, noun + 's')}"


def described(call: CacheCall) -> str:
    """Return the numbers that are not 0, such as "3 hits, 1 miss"."""
    nouns = ("hit", "miss", "set", "delete")
    return ", ".join(count(number, noun) for number, noun in zip(call, nouns, strict=True) if number)
