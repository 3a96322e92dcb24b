"""Why a worker is broken, as the terminal and the error page show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...console import shown_path
from ...lifecycle.failures import principal, title_of

_MAX_MESSAGE = 200  # characters


# A header of each answer that shows a failure. Its value is the name of the feature.
HEADER = "X-Devpatch"


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
        place = place_of(link)
        where = f" in {shown_path(place['file'])}:{place['line']}" if place else ""
        if link["problems"]:
            first = link["problems"][0]
            more = ", the first" if len(link["problems"]) > 1 else ""
            named = f": {first['object'] or first['id']}" if first["object"] or first["id"] else ""
            message = " ".join(first["message"].split())[:_MAX_MESSAGE].rstrip(".")
            return f"{self.summary}{more}{named}{where}: {message}"
        message, title = " ".join(link["message"].split())[:_MAX_MESSAGE], title_of(link)
        if title not in (link["message"], link["type"]):  # It calls sys.exit with a number.
            return f"{title}{where}"
        return f"{link['type'].rpartition('.')[2]}{where}" + (f": {message}" if message else "")


def place_of(link: dict[str, Any]) -> dict[str, Any] | None:
    """Return the place that the user wants to see: a SyntaxError's line, or the innermost frame of their own code."""
    problems = [problem["place"] for problem in link["problems"]]
    own = [frame for frame in link["frames"] if frame["own"]]
    places = (*problems, link["syntax"], *reversed(own), *reversed(link["frames"]))  # the best one first
    return next((place for place in places if place), None)
