"""``devpatch summary [FILE]``: a table of the requests in a file of DEVPATCH_SUMMARY_LOG, one row per route."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

from ..console import ERROR, plain, say, shown_path
from ..lifecycle.endings import ExitStatus
from .logs import SUMMARY, warn_of_left_out
from .parser import Parser

_NO_ROUTE = "(no route)"


class Alike(NamedTuple):
    """The queries of a request that differ in their values only."""

    number: int
    sql: str
    place: str  # may be empty

    def __str__(self) -> str:
        return f"{self.number} alike at {self.place}" if self.place else f"{self.number} alike"


class Request(NamedTuple):
    """A line of the file. Times are in milliseconds, ``began`` is in seconds since the epoch."""

    began: float
    method: str
    path: str
    route: str
    status: int | None
    total: float
    queries: int
    alike: Alike | None
    session: str | None
    stands_out: bool


class Route(NamedTuple):
    """The requests of a route, in one row of the table. Times are in milliseconds."""

    name: str
    number: int
    p50: float
    p95: float
    queries: int  # the median
    worst: Alike | None  # the N+1 with the most queries


def main(arguments: list[str]) -> int:
    """Print the table. Return the exit status of ``run``."""
    parser = Parser(
        "devpatch summary",
        description=f"Print a table of the requests in a file of {SUMMARY.switch.name}.",
    )
    parser.add_argument(
        "file", nargs="?", help=f"the file; by default the one that {SUMMARY.switch.name} names"
    )
    parser.add_argument("--html", metavar="OUT", help="write a page with bars and timelines too")
    options = parser.read(arguments)
    path = SUMMARY.path(options.file)
    if path is None:
        parser.error(SUMMARY.needed())
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        say(SUMMARY.unreadable(path, error, options.file), ERROR)
        return int(ExitStatus.REFUSED)
    return run(path, text, options.html)


def run(file: str, text: str, html: str | None) -> int:
    """Print the table of the ``text`` in ``file``, and write the page to the file ``html`` if it is given.

    Return the exit status.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    requests = [request for line in lines if (request := parse(line)) is not None]
    if lines and not requests:
        say(SUMMARY.mistaken(file, lines), ERROR)
        return int(ExitStatus.REFUSED)
    if not requests:
        say(f"there are no requests in {file}", ERROR)
        return int(ExitStatus.REFUSED)
    warn_of_left_out(file, len(lines) - len(requests))
    rows = routes(requests)
    if html is not None:
        from .summary_page import page

        try:
            Path(html).write_text(page(rows, requests), encoding="utf-8")
        except OSError as error:
            say(f"{html} can't be written ({error.strerror})", ERROR)
            return int(ExitStatus.REFUSED)
    sys.stdout.write(table(rows))
    return 0


def parse(line: str) -> Request | None:
    """Return the request in a line of the file, or None if it has none."""
    try:
        data = json.loads(line)
        sql = data["sql"] or {"count": 0, "alike": None}
        return Request(
            began=datetime.fromisoformat(data["time"]).timestamp(),
            method=plain(str(data["method"])),
            path=plain(str(data["path"])),
            route=plain(_route_in(data)),
            status=data["status"],
            total=float(data["total_ms"]),
            queries=int(sql["count"]),
            alike=_alike(sql["alike"]),
            session=data["session"],
            stands_out=bool(data["slow"] or data["n_plus_one"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _route_in(data: dict[str, Any]) -> str:
    if data["route"] is not None:
        return str(data["route"]) or "/"  # Django's routes do not begin with a slash.
    # A bare WSGI application has no routes.
    return _NO_ROUTE if data["status"] == HTTPStatus.NOT_FOUND else str(data["path"])


def _alike(data: dict[str, Any] | None) -> Alike | None:
    if data is None:
        return None
    place = f"{shown_path(str(data['file']))}:{int(data['line'])}" if data["file"] else ""
    return Alike(int(data["count"]), plain(str(data["sql"])), plain(place))


def routes(requests: Iterable[Request]) -> list[Route]:
    """Return the routes, the one that took most time in all first."""
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(f"{request.method} {request.route}", []).append(request)
    ordered = sorted(groups.items(), key=lambda item: -sum(request.total for request in item[1]))
    return [_route(name, group) for name, group in ordered]


def _route(name: str, group: Sequence[Request]) -> Route:
    times = [request.total for request in group]
    alike = [request.alike for request in group if request.alike is not None]
    return Route(
        name=name,
        number=len(group),
        p50=percentile(times, 50),
        p95=percentile(times, 95),
        queries=int(percentile([request.queries for request in group], 50)),
        worst=max(alike, key=lambda found: found.number, default=None),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest of ``values`` that at least ``percent`` % of them do not exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def table(rows: Sequence[Route]) -> str:
    """Return the rows as aligned text."""
    header = ("route", "requests", "p50", "p95", "queries", "most repeated query")
    cells = [header, *((row.name, *numbers(row), str(row.worst or "")) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = []
    for name, *middle, last in cells:
        right = (cell.rjust(width) for cell, width in zip(middle, widths[1:], strict=False))
        lines.append("  ".join((name.ljust(widths[0]), *right, last)).rstrip())
    return "\n".join(lines) + "\n"


def numbers(row: Route) -> tuple[str, str, str, str]:
    """Return the cells of a row between its name and its most repeated query."""
    return str(row.number), milliseconds(row.p50), milliseconds(row.p95), str(row.queries)


def milliseconds(value: float) -> str:
    """Return a time for people, such as "42 ms"."""
    return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
