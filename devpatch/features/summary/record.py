"""What one request costs: its observer, and the numbers of the line, the header and the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from ...lifecycle import threads
from ...lifecycle.costs import CacheCall, Details, Observer
from ...lifecycle.requests import Request
from . import body
from .places import Place, own_line, remember_caller
from .queries import alike, controls_transaction

N_PLUS_ONE = 10  # more alike queries than this are an N+1

# Called for each query: its SQL, its parameters, its time in seconds, and the line that made it.
ShowQuery = Callable[[str, Any, float, "Place | None"], object]


class Repeated(NamedTuple):
    """The queries that a request made most often."""

    number: int
    sql: str  # without values
    place: Place | None


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
        # Both by the SQL without values. The first has the time of each query, in seconds.
        self._queries: dict[str, list[float]] = {}
        self._places: dict[str, Place | None] = {}
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
            times = self._queries.setdefault(text, [])
            times.append(seconds)
            if self._show_query is not None:
                place = self._places[text] = own_line()
                self._show_query(sql, parameters, seconds, place)
            elif len(times) > 1 and text not in self._places:
                # Not at the first one: most queries are not repeated.
                self._places[text] = own_line()
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
        if self._queries:
            text += f', sql;dur={self.query_seconds * 1000:.1f};desc="{count(self.queries, "query")}"'
        elif self._has_sql:
            text += ', sql;dur=0.0;desc="0 queries"'
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

    @property
    def queries(self) -> int:
        """The number of queries."""
        return sum(map(len, self._queries.values()))

    @property
    def query_seconds(self) -> float:
        """The time of all queries."""
        return sum(map(sum, self._queries.values()))

    def most_repeated(self) -> Repeated | None:
        """Return the queries that were made most often, or None if none was repeated."""
        found = None
        for sql, times in list(self._queries.items()):
            if len(times) > (found.number if found else 1) and not controls_transaction(sql):
                found = Repeated(len(times), sql, self._places.get(sql))
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
