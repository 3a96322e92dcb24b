"""Render the failure as a page for browsers. The page reloads itself when the server starts again.

All text from the worker is escaped. Characters that change the direction of text are shown as code points. The page
loads nothing from elsewhere. A nonce allows its own style and script.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from ....console import plain, shown_path
from ....lifecycle.failures import principal, title_of
from ....lifecycle.places import COMMAND_LINE, ENVIRONMENT
from ..failure import RELATIONS, Failure, caret_line, named, place_of, related
from .editor import Editor
from .highlighting import highlighted

EVENTS_PATH = "/.devpatch/events"
_ASSETS = Path(__file__).parent


def policy(nonce: str) -> str:
    """Return the Content-Security-Policy that allows the page's own parts and nothing else."""
    return (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def render(
    failure: Failure, folders: Sequence[str], is_safe_to_repeat: bool, nonce: str, editor: Editor
) -> str:
    """Return the page. If its request is not safe to repeat (a POST), it shows a link instead of reloading."""
    status = "Reloads by itself when a file changes." if is_safe_to_repeat else "Waits until a file changes."
    parts = _headline(failure, editor, _STATUS.format(status=status))
    if failure.chain:
        parts += _exceptions(failure.chain, editor)
    else:
        parts.append(f"<pre id='text' class='output' tabindex='0'>{_text(failure.text)}</pre>")
    parts.append(_watched(folders))
    if failure.chain:
        parts.append(
            "<details class='card'><summary>The traceback as text</summary>"
            f"<pre id='text' tabindex='0'>{_text(failure.text)}</pre></details>"
        )
    again = "reload" if is_safe_to_repeat else "link"
    return _PAGE.format(
        nonce=nonce,
        title=_text(failure.summary[:200]),
        style=_asset("page.css"),
        script=_asset("page.js"),
        again=again,
        events=EVENTS_PATH,
        body="\n".join(parts),
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style nonce="{nonce}">{style}</style>
</head>
<body data-again="{again}" data-events="{events}">
<main>
{body}
<footer>devpatch, DEVPATCH_FAILSAFE</footer>
</main>
<script nonce="{nonce}">{script}</script>
</body>
</html>
"""


def _headline(failure: Failure, editor: Editor, status: str) -> list[str]:
    if not failure.chain:
        return [
            "<header><p class='kind'>The server process ended</p>"
            f"<h1>{_text(failure.summary)}</h1>{status}</header>"
        ]
    last = principal(failure.chain)
    title = failure.summary if last["problems"] else title_of(last)
    place = place_of(last)
    return [
        f"<header><p class='kind'>{_text(last['type'])}</p><h1>{_text(title)}</h1>",
        f"<p class='place'>{_where(place)}{_open_link(place, editor)}</p>" if place else "",
        status,
        "</header>",
    ]


_STATUS = (
    "<p class='status' id='status' role='status'><span class='dot' aria-hidden='true'></span> "
    "<span id='said'>{status}</span> "
    "<a id='again' href='' hidden>Open it again</a> "
    "<button id='copy' type='button' hidden>Copy the traceback</button></p>"
)


def _where(place: dict[str, Any]) -> str:
    """Return the file, the line and the function. Only the place of a frame has a function."""
    if place["file"] in (COMMAND_LINE, ENVIRONMENT):
        return named(place)
    function = f", in {_text(place['function'])}" if "function" in place else ""
    return f"{_path(place['file'])}, line {place['line']}{function}"


def _open_link(place: dict[str, Any], editor: Editor) -> str:
    """Return a link that opens the place in the user's editor, or nothing if no editor is set."""
    url = editor.url(place["file"], place["line"])
    return f" <a class='open' href='{escape(url)}'>Open in the editor</a>" if url else ""


def _exceptions(chain: Sequence[dict[str, Any]], editor: Editor) -> list[str]:
    """Return the source of the place, the other exceptions, each in one line, and the traceback."""
    main = principal(chain)
    place = place_of(main)
    others = [_other_exception(link, relation, editor) for link, relation in related(chain)]
    if main["problems"]:
        return [*others, _section("What failed", _details(main, editor, is_place_shown=False))]
    source = f"<section class='card' aria-label='Source'>{_source(place)}</section>" if place else ""
    traceback = _details(main, editor, is_place_shown=place is not None)
    return [source if place and place["source"] else "", *others, _section("Traceback", traceback)]


def _section(heading: str, body: str) -> str:
    return f"<section class='card' aria-label='{heading}'><h2>{heading}</h2>{body}</section>" if body else ""


def _other_exception(link: dict[str, Any], relation: str, editor: Editor) -> str:
    place = place_of(link)
    where = f" <span class='where'>{_where(place)}</span>" if place else ""
    title = (
        f"{relation} <span class='kind'>{_text(link['type'])}</span> {_text(link['message'][:300])}{where}"
    )
    body = _details(link, editor, is_place_shown=False)
    return f"<details class='card'><summary>{title}</summary>{body}</details>"


def _details(link: dict[str, Any], editor: Editor, is_place_shown: bool) -> str:
    """Return all about one exception. ``is_place_shown``: whether the page has the source of its place already."""
    text = "".join(f"<p class='note'>{_text(note)}</p>" for note in link["notes"])
    frames = _frames(link, editor, is_place_shown)
    place = link["syntax"] or link["place"]
    if place and not is_place_shown:
        frames.append(_frame_with_source(place, editor, is_open=True))
    if link["problems"]:
        text += _problems(link, editor)
        frames = _fold(frames)
    if frames:
        text += f"<ol class='frames'>{''.join(f'<li>{frame}</li>' for frame in frames)}</ol>"
    return text + _parts(link, editor) + _left_out(link["earlier_left_out"], "earlier exception")


def _problems(link: dict[str, Any], editor: Editor) -> str:
    """Return the failed system checks, each with its object's source."""
    shown = []
    for problem in link["problems"]:
        identity = f" <code>{_text(problem['id'])}</code>" if problem["id"] else ""
        text = (
            f"<p class='problem'><b>{_text(problem['object'])}</b> {_text(problem['message'])}{identity}</p>"
        )
        if problem["hint"]:
            text += f"<p class='note'>{_text(problem['hint'])}</p>"
        if place := problem["place"]:
            text += _frame_with_source(place, editor, is_open=True)
        shown.append(f"<li>{text}</li>")
    return f"<ol class='frames'>{''.join(shown)}</ol>"


def _parts(link: dict[str, Any], editor: Editor) -> str:
    """Return the parts of an exception group. Their chains are folded."""
    if not link["parts"]:
        return ""
    parts = "".join(
        _other_exception(part, RELATIONS.get(part["leads_to"], ""), editor)
        for chain in link["parts"]
        for part in reversed(chain)
    )
    return f"<h3>Its parts</h3>{parts}{_left_out(link['parts_left_out'], 'further exception')}"


def _left_out(count: int, what: str) -> str:
    if not count:
        return ""
    return f"<p class='left-out'>{count} {what}{'s' if count > 1 else ''} left out</p>"


def _frames(link: dict[str, Any], editor: Editor, is_place_shown: bool) -> list[str]:
    """Return the frames. The user's frames stand out. The library frames between them are folded."""
    frames = link["frames"]
    innermost_own = max((n for n, frame in enumerate(frames) if frame["own"]), default=len(frames) - 1)
    items: list[tuple[bool, str]] = []  # whether the frame stands out, and its HTML
    for number, frame in enumerate(frames):
        if link["frames_left_out"] and number == len(frames) // 2:
            items.append((True, _left_out(link["frames_left_out"], "frame")))
        is_open = number == innermost_own and not (is_place_shown or link["syntax"] or link["place"])
        items.append((frame["own"] or is_open, _frame_with_source(frame, editor, is_open)))
    shown: list[str] = []
    for stands_out, group in groupby(items, key=itemgetter(0)):
        texts = [text for _, text in group]
        shown += texts if stands_out else _fold(texts)
    return shown


def _fold(frames: list[str]) -> list[str]:
    if not frames:
        return []
    count = f"{len(frames)} frame{'s' if len(frames) > 1 else ''} of libraries"
    items = "".join(f"<li>{frame}</li>" for frame in frames)
    return [f"<details class='library'><summary>{count}</summary><ol class='frames'>{items}</ol></details>"]


def _frame_with_source(frame: dict[str, Any], editor: Editor, is_open: bool) -> str:
    kind = "own" if frame["own"] else "library"
    title = _where(frame) + (_open_link(frame, editor) if frame["own"] else "")
    if not frame["source"]:
        return f"<p class='{kind} bare'>{title}</p>"
    return (
        f"<details class='{kind}'{' open' if is_open else ''}><summary>{title}</summary>"
        f"{_source(frame)}</details>"
    )


def _source(place: dict[str, Any]) -> str:
    """Return the source lines around a place, with its own line marked."""
    shown = highlighted([plain(text) for _number, text in place["source"]], place["file"])
    lines = "".join(
        _line(number, text, markup, place)
        for (number, text), markup in zip(place["source"], shown, strict=True)
    )
    return f"<pre class='source' tabindex='0'>{lines}</pre>"


def _line(number: int, text: str, markup: str, place: dict[str, Any]) -> str:
    if number != place["line"]:
        return f"<span class='number'>{number:>5}</span> {markup}\n"
    marked = f"<span class='number'>{number:>5}</span> <mark>{markup or ' '}</mark>\n"
    if not (carets := caret_line(text, place)):
        return marked
    blank = len(carets) - len(carets.lstrip())
    return (
        f"{marked}<span class='number'>{'':>5}</span> {carets[:blank]}<b class='caret'>{carets[blank:]}</b>\n"
    )


def _watched(folders: Sequence[str]) -> str:
    items = "".join(f"<li><code>{_text(folder)}</code> and all below it</li>" for folder in folders)
    return (
        "<section class='card' aria-label='What is watched'><h2>What is watched</h2><ul>"
        f"{items}<li>the files above</li><li>the top level of each <code>sys.path</code> entry, "
        "so an installed package counts</li></ul>"
        "<p>If you started the server in a terminal, press Enter there to start it now.</p></section>"
    )


def _path(file: str) -> str:
    """Return a file's path with the file name in bold."""
    folder, _, name = shown_path(file).rpartition(os.sep)
    return f"{_text(folder + os.sep if folder else '')}<b>{_text(name)}</b>"


def _text(text: str) -> str:
    return escape(plain(text))


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
