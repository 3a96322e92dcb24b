"""The page of ``devpatch summary FILE --html``: one file without scripts, which needs no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape

from ..features.summary.queries import shortened
from .summary import Request, Route, milliseconds, numbers

_SESSION_GAP = 300.0  # seconds without a request after which another session begins
_PAUSE = 0.3  # seconds; the timeline shows a longer pause as one of this length
_MAX_SHOWN = 300  # requests of a session

_STYLE = """
:root { color-scheme: light dark; --back: #f6f7f9; --card: #fff; --ink: #1c2127; --soft: #57606a; --line: #d5dae0;
  --bar: #0b57d0; --late: #a9c7f5; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --card: #1d2127; --ink: #e6e9ed; --soft: #a3adb8;
  --line: #353c45; --bar: #8ab4f8; --late: #33507c; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.05rem; margin: 0 0 .6rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 1rem; margin: 0 0 1rem;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; vertical-align: top; font-weight: 400; }
thead th { color: var(--soft); border-bottom: 1px solid var(--line); }
th.number { text-align: right; padding-left: .6rem; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tbody th { overflow-wrap: anywhere; min-width: 14rem; }
.bars { width: 30%; min-width: 10rem; } .time { width: 55%; min-width: 14rem; }
.track { position: relative; height: 1.1rem; margin-top: .15rem; }
.bar { position: absolute; top: 0; height: 100%; min-width: 2px; border-radius: 2px; background: var(--bar); }
.late { background: var(--late); } .bad .bar { background: var(--bad); } .bad th { color: var(--bad); }
.soft, code { color: var(--soft); overflow-wrap: anywhere; } p { margin: 0 0 .6rem; }
"""


def page(rows: Sequence[Route], requests: Sequence[Request]) -> str:
    """Return the page for ``requests``, whose routes are ``rows``."""
    number = f"{len(requests)} request{'' if len(requests) == 1 else 's'}"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{number}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{number}</h1>",
        _routes(rows),
        *map(_timeline, sessions(requests)),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _routes(rows: Sequence[Route]) -> str:
    longest = max(row.p95 for row in rows) or 1.0
    names = ("requests", "p50", "p95", "queries")
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in names)
    lines = [
        '<section aria-labelledby="routes"><h2 id="routes">Time per route</h2>',
        '<p class="soft">The bars show p50, and p95 behind it.</p>',
        f'<table><thead><tr><th scope="col">route</th><th scope="col" class="bars">time</th>{head}',
        '<th scope="col">most repeated query</th></tr></thead><tbody>',
    ]
    for row in rows:
        bars = _bar(0, row.p95 / longest, "late") + _bar(0, row.p50 / longest)
        cells = "".join(f'<td class="number">{text}</td>' for text in numbers(row))
        worst = (
            f"{escape(str(row.worst))}<br><code>{escape(shortened(row.worst.sql))}</code>"
            if row.worst
            else ""
        )
        lines.append(
            f'<tr><th scope="row">{escape(row.name)}</th><td><div class="track">{bars}</div></td>'
            f"{cells}<td>{worst}</td></tr>"
        )
    return "".join(lines) + "</tbody></table></section>"


def _bar(left: float, width: float, kind: str = "") -> str:
    return f'<div class="bar {kind}" style="left:{left * 100:.2f}%;width:{width * 100:.2f}%"></div>'


def sessions(requests: Sequence[Request]) -> Iterator[list[Request]]:
    """Yield the requests of each session, in their order of time. A long time without a request separates two."""
    session: list[Request] = []
    ends = 0.0
    for request in sorted(requests, key=lambda request: request.began):
        if session and request.began - ends > _SESSION_GAP:
            yield session
            session = []
        session.append(request)
        ends = max(ends, request.began + request.total / 1000)
    yield session


def places(session: Sequence[Request]) -> list[tuple[float, float]]:
    """Return the left edge and the width of each request's bar, as parts of the timeline. Long pauses are shortened."""
    spans = []
    ends = session[0].began
    removed = session[0].began
    for request in session:
        removed += max(request.began - ends - _PAUSE, 0.0)
        spans.append((request.began - removed, request.total / 1000))
        ends = max(ends, request.began + request.total / 1000)
    whole = (ends - removed) or 1.0
    return [(left / whole, width / whole) for left, width in spans]


def _timeline(session: list[Request]) -> str:
    shown = session[-_MAX_SHOWN:]
    begin = datetime.fromtimestamp(session[0].began).strftime("%Y-%m-%d %H:%M:%S")
    left_out = f" The first {len(session) - len(shown)} are left out." if len(shown) < len(session) else ""
    lines = [
        f"<section><h2>Session of {begin}, requests: {len(session)}</h2>",
        f'<p class="soft">Long pauses are shortened.{left_out}</p><table><thead><tr>',
        '<th scope="col">request</th><th scope="col" class="number">status</th>',
        '<th scope="col" class="time">when</th>',
        '<th scope="col" class="number">time</th><th scope="col" class="number">queries</th>',
        "</tr></thead><tbody>",
    ]
    for request, (left, width) in zip(shown, places(shown), strict=True):
        who = f' <span class="soft">{escape(request.session)}</span>' if request.session else ""
        lines.append(
            f"<tr{' class=bad' if request.stands_out else ''}>"
            f'<th scope="row">{escape(f"{request.method} {request.path}")}{who}</th>'
            f'<td class="number">{request.status or ""}</td>'
            f'<td><div class="track">{_bar(left, width)}</div></td>'
            f'<td class="number">{milliseconds(request.total)}</td>'
            f'<td class="number">{request.queries}</td></tr>'
        )
    return "".join(lines) + "</tbody></table></section>"
