"""The texts of the summary: the line of a request, that of a query, and the object of the log."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from ... import console
from ...lifecycle.requests import Request
from .places import Place
from .queries import shortened
from .record import N_PLUS_ONE, Alike, Record, count, described

_MIB = 1024 * 1024
_KEY_LENGTH = 6  # characters of a session's key
_MAX_PARAMETERS = 300  # characters


class Line:
    """The texts of one request that is done."""

    def __init__(self, record: Record, parts: Collection[str], slow: int) -> None:
        """``parts`` are those of DEVPATCH_SUMMARY. ``slow`` is in milliseconds."""
        self._record = record
        self._parts = parts
        self._queries, self._query_seconds = record.queries()
        self._repeated = record.most_repeated() if self._queries > 1 else None
        self._total = record.total
        self.is_slow = self._total * 1000 > slow
        self.is_n_plus_one = self._repeated is not None and len(self._repeated.times) > N_PLUS_ONE

    def print(self) -> None:
        """Print it, if it has a part. A slow request and one with an N+1 stand out."""
        text = self.text()
        if text:
            console.note(text, console.WARNING if self.is_slow or self.is_n_plus_one else console.DIM)

    def text(self) -> str:
        """Return the line for people."""
        record = self._record
        parts = [*self._times(), *self._sql()]
        if "cache" in self._parts and any(record.cache_calls):
            parts.append(f"cache {described(record.cache)} in {duration(record.cache_seconds)}")
        if "memory" in self._parts and record.growth > _MIB:
            parts.append(f"+{record.growth / _MIB:.1f} MiB")
        if "session" in self._parts:
            details = record.known()
            if details.session:
                parts.append(f"session {details.session[:_KEY_LENGTH]}")
            if details.user:
                parts.append(f"user {details.user}")
        if (json := record.json) is not None:
            parts.append(json)
        return " · ".join(parts)

    def _times(self) -> list[str]:
        record = self._record
        parts = []
        if "time" in self._parts:
            text = f"{duration(self._total)} ({duration(record.cpu)} CPU)"
            if record.is_stream:
                text = f"first byte after {duration(record.first_byte)}, last after {text}"
            parts.append(f"slow: {text}" if self.is_slow else text)
        elif self.is_slow:
            parts.append(f"slow: {duration(self._total)}")
        if record.waited:
            parts.append(f"waited {duration(record.waited)} for a thread")
        return parts

    def _sql(self) -> list[str]:
        repeated = self._repeated
        if not self._queries:
            return []
        parts = [f"{count(self._queries, 'query')} in {duration(self._query_seconds)}"]
        if repeated is not None:
            place = f" at {repeated.place}" if repeated.place else ""
            name = "N+1: " if self.is_n_plus_one else ""
            parts.append(f"{name}{len(repeated.times)} alike{place}: {shortened(repeated.sql)}")
        return parts

    def data(self, request: Request, server: str | None) -> dict[str, Any]:
        """Return the object for the log, which ``summary.schema.json`` describes."""
        record, has = self._record, self._parts.__contains__
        details = record.known()
        return {
            "time": datetime.fromtimestamp(record.time, timezone.utc).isoformat(timespec="microseconds"),
            "server": server,
            "process": os.getpid(),
            "thread": threading.current_thread().name,
            "method": request.method,
            "path": str(request.environ.get("PATH_INFO") or "/"),
            "route": details.route,
            "status": request.status,
            "total_ms": _ms(self._total),
            "cpu_ms": _ms(record.cpu),
            "first_byte_ms": _ms(record.first_byte) if record.is_stream else None,
            "queue_ms": _ms(record.waited),
            "sql": self._sql_data() if has("sql") else None,
            "cache": {**record.cache._asdict(), "ms": _ms(record.cache_seconds)} if has("cache") else None,
            "memory": record.growth if has("memory") else None,
            "session": (details.session or "")[:_KEY_LENGTH] or None if has("session") else None,
            "user": details.user if has("session") else None,
            "slow": self.is_slow,
            "n_plus_one": self.is_n_plus_one,
        }

    def _sql_data(self) -> dict[str, Any]:
        alike = None if self._repeated is None else _alike_data(self._repeated)
        return {"count": self._queries, "ms": _ms(self._query_seconds), "alike": alike}


def _alike_data(repeated: Alike) -> dict[str, Any]:
    place = repeated.place
    return {
        "count": len(repeated.times),
        "sql": repeated.sql,
        "file": place.file if place else None,
        "line": place.line if place else None,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)


def duration(seconds: float) -> str:
    """Return a time for people, such as "42 ms"."""
    milliseconds = seconds * 1000
    if milliseconds < 0.05:
        return "<0.1 ms"
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds:.0f} ms" if milliseconds < 10_000 else f"{seconds:.1f} s"


def print_query(sql: str, parameters: Any, seconds: float, place: Place | None) -> None:
    """Print one query as it happens, with its parameters."""
    where = f" at {place}" if place else ""
    console.note(
        f"{duration(seconds)}{where}: {' '.join(sql.split())}{_shown(parameters)}", highlight=_highlighter()
    )


def _shown(parameters: Any) -> str:
    if not parameters:
        return ""
    text = repr(parameters)
    return f"  {text if len(text) <= _MAX_PARAMETERS else text[:_MAX_PARAMETERS] + '…'}"


@lru_cache(maxsize=1)
def _highlighter() -> Callable[[str], str] | None:
    """Return a function that colours SQL, or None without Pygments."""
    try:
        from pygments import highlight  # type: ignore[import-untyped,unused-ignore]
        from pygments.formatters import TerminalFormatter  # type: ignore[import-untyped,unused-ignore]
        from pygments.lexers import SqlLexer  # type: ignore[import-untyped,unused-ignore]
    except ImportError:
        return None
    lexer, formatter = SqlLexer(), TerminalFormatter()

    def colour(line: str) -> str:
        # The lexer would remove the spaces in front.
        indent = line[: len(line) - len(line.lstrip())]
        return indent + str(highlight(line.lstrip(), lexer, formatter)).rstrip("\n")

    return colour
