"""Why a worker is broken, as the terminal and the error page show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...console import shown_path
from ...lifecycle.failures import principal

_MAX_MESSAGE = 200  # characters


@dataclass(frozen=True)
class Failure:
    """Why a worker is broken. ``text`` is the traceback, or what is known if there is none.

    ``chain`` holds the exceptions as ``devpatch.lifecycle.failures`` describes them, or is empty. ``files``, and the
    folders in ``paths``, may contain the cause. ``was_printed``: whether the terminal has shown ``text``.
    """

    summary: str
    text: str
    chain: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    was_printed: bool = True

    @property
    def headline(self) -> str:
        """The exception in one line, with its place: ``SyntaxError in shop/views.py:14: expected ':'``."""
        if not self.chain:
            return self.summary
        link = principal(self.chain)
        place = self.place
        if link["problems"]:
            first = link["problems"][0]
            where = f" in {shown_path(place['file'])}:{place['line']}" if place else ""
            more = ", the first" if len(link["problems"]) > 1 else ""
            named = f": {first['object'] or first['id']}" if first["object"] or first["id"] else ""
            return f"{self.summary}{more}{named}{where}: {' '.join(first['message'].split())[:_MAX_MESSAGE]}"
        where = f" in {shown_path(place['file'])}:{place['line']}" if place else ""
        message = " ".join(link["message"].split())[:_MAX_MESSAGE]
        return f"{link['type'].rpartition('.')[2]}{where}" + (f": {message}" if message else "")

    @property
    def place(self) -> dict[str, Any] | None:
        """The place that the user wants to see: a SyntaxError's line, or the innermost frame of their own code."""
        return place_of(principal(self.chain)) if self.chain else None


def place_of(link: dict[str, Any]) -> dict[str, Any] | None:
    """Return the place in one exception of a chain, as for ``Failure.place``."""
    places = [problem["place"] for problem in link["problems"] if problem["place"]]
    if places:
        first: dict[str, Any] = places[0]
        return first
    if link["syntax"]:
        found: dict[str, Any] = link["syntax"]
        return found
    frames = [frame for frame in link["frames"] if frame["own"]] or link["frames"]
    return frames[-1] if frames else None
