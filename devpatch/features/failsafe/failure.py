"""Why a worker is broken, as the terminal and the error page show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...console import plain, shown_path
from ...lifecycle.failures import principal, title_of
from ...lifecycle.places import COMMAND_LINE, ENVIRONMENT

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
        where = f" in {named(place)}" if place else ""
        if link["problems"]:
            first = link["problems"][0]
            more = ", the first" if len(link["problems"]) > 1 else ""
            about = f": {first['object'] or first['id']}" if first["object"] or first["id"] else ""
            message = " ".join(first["message"].split())[:_MAX_MESSAGE].rstrip(".")
            return f"{self.summary}{more}{about}{where}: {message}"
        message, title = " ".join(link["message"].split())[:_MAX_MESSAGE], title_of(link)
        if title not in (link["message"], link["type"]):  # It calls sys.exit with a number.
            return f"{title}{where}"
        return f"{link['type'].rpartition('.')[2]}{where}" + (f": {message}" if message else "")


def place_of(link: dict[str, Any]) -> dict[str, Any] | None:
    """Return the place that the user wants to see, or None if all that is known are places in libraries.

    It is the object of a failed check, a SyntaxError's line, the line that a library complains about, or the
    innermost frame of the user's own code.
    """
    problems = [problem["place"] for problem in link["problems"]]
    own = [frame for frame in link["frames"] if frame["own"]]
    places = (*problems, link["syntax"], link["place"], *reversed(own))  # the best one first
    return next((place for place in places if place), None)


def named(place: dict[str, Any]) -> str:
    """Return the file and line of a place in the form that terminals and editors turn into a link."""
    return _WRITTEN_IN.get(place["file"]) or f"{shown_path(place['file'])}:{place['line']}"


_WRITTEN_IN = {COMMAND_LINE: "the command line", ENVIRONMENT: "the environment"}


def caret_line(text: str, place: dict[str, Any]) -> str:
    """Return the carets to show below ``text``, the line of ``place``. It is empty if no offset is known."""
    offset = place.get("offset", 0)
    if not 0 < offset <= len(text) + 1:
        return ""
    # The caret is as wide as the text that is shown, which has code points for controls.
    before = re.sub(r"[^\t]", " ", plain(text[: offset - 1]))
    return before + "^" * max(len(plain(text[offset - 1 : max(place["end_offset"] - 1, offset)])), 1)


def related(chain: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], str]]:
    """Return the exceptions of a chain except the principal one, those after it first, each with its relation."""
    main = next(number for number, link in enumerate(chain) if link is principal(chain))
    later = [(link, "It led to:") for link in chain[main + 1 :]]
    return [*later, *((link, RELATIONS[link["leads_to"]]) for link in reversed(chain[:main]))]


RELATIONS = {"cause": "Its direct cause:", "context": "It was raised while this was handled:"}
