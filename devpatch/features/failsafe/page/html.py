"""Render the failure as a page for browsers. The page reloads itself when the server starts again.

All text from the worker is escaped. Characters that change the direction of text are shown as code points. The page
loads nothing from elsewhere. A nonce allows its own style and script.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from ..failure import Failure

EVENTS_PATH = "/.devpatch/events"
_ASSETS = Path(__file__).parent
# Colour codes for terminals.
_COLOURS = re.compile("\u001b\\[[0-9;]*m")
# Direction controls, and other characters that make text look like other text (CVE-2021-42574).
_CONTROLS = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_RELATIONS = {"cause": "Its direct cause:", "context": "It came up while this was handled:"}


def policy(nonce: str) -> str:
    """Return the Content-Security-Policy that allows the page's own parts and nothing else."""
    return (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def new_nonce() -> str:
    """Return a nonce for one response."""
    return secrets.token_urlsafe(16)


def render(failure: Failure, folders: Sequence[str], is_safe_to_repeat: bool, nonce: str) -> str:
    """Return the page. If its request is not safe to repeat (a POST), it shows a link instead of reloading."""
    parts = _headline(failure)
    for number, link in enumerate(reversed(failure.chain)):
        parts.append(_exception(link, is_open=number == 0))
    if not failure.chain:
        parts.append(f"<pre class='output' tabindex='0'>{_text(failure.text)}</pre>")
    parts.append(_watched(folders))
    if failure.chain:
        parts.append(
            "<details class='card'><summary>As text</summary>"
            f"<pre tabindex='0'>{_text(failure.text)}</pre></details>"
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
</main>
<script nonce="{nonce}">{script}</script>
</body>
</html>
"""


def _headline(failure: Failure) -> list[str]:
    last = failure.chain[-1] if failure.chain else None
    if last is None:
        return [
            "<header><p class='kind'>The server's worker is gone</p>"
            f"<h1>{_text(failure.summary)}</h1>{_STATUS}</header>"
        ]
    where = _place(last)
    return [
        f"<header><p class='kind'>{_text(last['type'])}</p><h1>{_text(last['message'] or last['type'])}</h1>",
        f"<p class='place'>{where}</p>" if where else "",
        _STATUS,
        "</header>",
    ]


_STATUS = (
    "<p class='status' id='status' role='status'><span class='dot' aria-hidden='true'></span> "
    "<span id='said'>Waiting for a change. This page comes back by itself.</span> "
    "<a id='again' href='' hidden>Open it again</a></p>"
)


def _place(link: dict[str, Any]) -> str:
    """Return the place that the user wants to see: the innermost frame of their code, or a SyntaxError's line."""
    if link["syntax"]:
        return f"{_path(link['syntax']['file'])}, line {link['syntax']['line']}"
    frames = [frame for frame in link["frames"] if frame["own"]] or link["frames"]
    if not frames:
        return ""
    return f"{_path(frames[-1]['file'])}, line {frames[-1]['line']}, in {_text(frames[-1]['function'])}"


def _exception(link: dict[str, Any], is_open: bool) -> str:
    relation = _RELATIONS.get(link["leads_to"] or "", "")
    title = f"{relation} <span class='kind'>{_text(link['type'])}</span> {_text(link['message'][:300])}"
    notes = "".join(f"<p class='note'>{_text(note)}</p>" for note in link["notes"])
    frames = _frames(link)
    syntax = link["syntax"]
    if syntax:
        place = f"{_path(syntax['file'])}, line {syntax['line']}"
        frames.append(_frame_with_source(syntax, place, is_open=True))
    body = f"{notes}<ol class='frames'>{''.join(f'<li>{frame}</li>' for frame in frames)}</ol>"
    body += _parts(link) + _left_out(link["earlier_left_out"], "earlier exception")
    if is_open:
        return f"<section class='card' aria-label='Traceback'><h2>Traceback</h2>{body}</section>"
    return f"<details class='card'><summary>{title}</summary>{body}</details>"


def _parts(link: dict[str, Any]) -> str:
    """Return the parts of an exception group. Their chains are folded."""
    if not link["parts"]:
        return ""
    parts = "".join(_exception(part, is_open=False) for chain in link["parts"] for part in reversed(chain))
    return f"<h3>What it holds</h3>{parts}{_left_out(link['parts_left_out'], 'further one')}"


def _left_out(count: int, what: str) -> str:
    if not count:
        return ""
    return f"<p class='left-out'>{count} {what}{'s' if count > 1 else ''} left out</p>"


def _frames(link: dict[str, Any]) -> list[str]:
    """Return the frames. The user's frames stand out. The library frames between them are folded."""
    shown: list[str] = []
    folded: list[str] = []
    frames = link["frames"]
    innermost_own = max((n for n, frame in enumerate(frames) if frame["own"]), default=len(frames) - 1)
    for number, frame in enumerate(frames):
        if link["frames_left_out"] and number == len(frames) // 2:
            shown += [*_fold(folded), _left_out(link["frames_left_out"], "frame")]
            folded = []
        title = f"{_path(frame['file'])}, line {frame['line']}, in {_text(frame['function'])}"
        is_open = number == innermost_own and not link["syntax"]
        text = _frame_with_source(frame, title, is_open)
        if frame["own"] or is_open:
            shown += _fold(folded)
            folded = []
            shown.append(text)
        else:
            folded.append(text)
    return shown + _fold(folded)


def _fold(frames: list[str]) -> list[str]:
    if not frames:
        return []
    count = f"{len(frames)} frame{'s' if len(frames) > 1 else ''} of libraries"
    items = "".join(f"<li>{frame}</li>" for frame in frames)
    return [f"<details class='library'><summary>{count}</summary><ol class='frames'>{items}</ol></details>"]


def _frame_with_source(frame: dict[str, Any], title: str, is_open: bool) -> str:
    kind = "own" if frame["own"] else "library"
    if not frame["source"]:
        return f"<p class='{kind} bare'>{title}</p>"
    lines = "".join(_line(number, text, frame) for number, text in frame["source"])
    return (
        f"<details class='{kind}'{' open' if is_open else ''}><summary>{title}</summary>"
        f"<pre class='source' tabindex='0'>{lines}</pre></details>"
    )


def _line(number: int, text: str, frame: dict[str, Any]) -> str:
    if number != frame["line"]:
        return f"<span class='number'>{number:>5}</span> {_text(text)}\n"
    marked = f"<span class='number'>{number:>5}</span> <mark>{_text(text) or ' '}</mark>\n"
    offset = frame.get("offset", 0)
    if not 0 < offset <= len(text) + 1:
        return marked
    # The caret is as wide as the text that is shown, which has code points for controls.
    before = re.sub(r"[^\t]", " ", _shown(text[: offset - 1]))
    width = max(len(_shown(text[offset - 1 : max(frame["end_offset"] - 1, offset)])), 1)
    return f"{marked}<span class='number'>{'':>5}</span> {before}<b class='caret'>{'^' * width}</b>\n"


def _watched(folders: Sequence[str]) -> str:
    items = "".join(f"<li><code>{_text(folder)}</code> and all below it</li>" for folder in folders)
    return (
        "<section class='card' aria-label='What is watched'><h2>What is watched</h2><ul>"
        f"{items}<li>the files above</li><li>the top level of each <code>sys.path</code> entry, "
        "so an installed package counts</li></ul><p>Press Enter in the server's terminal to start it now.</p></section>"
    )


def _path(file: str) -> str:
    """Return a file's path with the file name in bold."""
    try:
        relative = os.path.relpath(file)
    except ValueError:
        relative = file
    shown = file if relative.startswith(os.pardir) else relative
    folder, _, name = shown.rpartition(os.sep)
    return f"{_text(folder + os.sep if folder else '')}<b>{_text(name)}</b>"


def _text(text: str) -> str:
    return escape(_shown(text))


def _shown(text: str) -> str:
    return _CONTROLS.sub(lambda found: f"<U+{ord(found[0]):04X}>", _COLOURS.sub("", text))


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")
