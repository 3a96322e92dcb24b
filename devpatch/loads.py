"""Loads that failed and that fail-safe holds: features are told, by the failing process or by its supervisor."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from . import switches
from .console import say

if TYPE_CHECKING:
    from .features import Feature

# Files that devpatch writes because of an error, by their paths: they say nothing of the code.
written: set[str] = set()


class End(NamedTuple):
    """How a worker ended: in words, and its exit status, or the name of the signal that ended it."""

    summary: str
    status: int | None
    signal: str | None


def tell(error: BaseException) -> None:
    """Tell of ``error``, which kept the code of this process from being loaded. Never raises."""
    _tell(lambda feature: feature.load_failed(error))


def tell_end(end: End) -> None:
    """Tell how a worker ended that could tell nothing itself. Never raises."""
    _tell(lambda feature: feature.worker_ended(end))


def _tell(tell_feature: Callable[[Feature], None]) -> None:
    try:
        for feature in _concerned():
            tell_feature(feature)
    except Exception as failure:
        say(f"a failed load could not be told of: {type(failure).__name__}: {failure}")


def _concerned() -> list[Feature]:
    # Read anew, for the code may be broken before any server, and so any feature, began.
    settings = switches.read(os.environ)
    if settings.disabled or settings.problems:
        return []
    if not (settings[switches.ON_ERROR] or settings[switches.ERROR_LOG]):
        return []  # No other feature wants to know, and to import them takes its time.
    from . import features

    return features.wanted(settings)
