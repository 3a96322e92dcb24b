"""Render the failure as plain text: what failed and where comes first, the traceback after it."""

from __future__ import annotations

from typing import Any

from ....console import plain
from ....lifecycle.failures import principal
from ..failure import Failure, caret_line, named, place_of, related


def render(failure: Failure) -> str:
    """Return the text, without control characters."""
    if not failure.chain:
        return plain(failure.text)
    main = principal(failure.chain)
    parts = (
        [failure.summary, *_problems(main)] if main["problems"] else [_title(main), *_excerpt(place_of(main))]
    )
    others = [f"{relation} {_title(link)}{_where(link)}" for link, relation in related(failure.chain)]
    return plain("\n\n".join(["\n".join(parts), *others, failure.text]))


def _title(link: dict[str, Any]) -> str:
    return f"{link['type']}: {link['message']}" if link["message"] else str(link["type"])


def _where(link: dict[str, Any]) -> str:
    place = place_of(link)
    return f", in {named(place)}" if place else ""


def _problems(link: dict[str, Any]) -> list[str]:
    shown = []
    for problem in link["problems"]:
        about = ": ".join(part for part in (problem["object"], problem["message"]) if part)
        shown += ["", about, *_excerpt(problem["place"])]
    return shown


def _excerpt(place: dict[str, Any] | None) -> list[str]:
    """Return the name of a place and the lines around it."""
    if place is None:
        return []
    lines = []
    for number, text in place["source"]:
        is_meant = number == place["line"]
        lines.append(f"{'>' if is_meant else ' '} {number:>5}  {text}".rstrip())
        if is_meant and (carets := caret_line(text, place)):
            lines.append(f"{'':>9}{carets}")
    return [f"in {named(place)}", "", *lines]
