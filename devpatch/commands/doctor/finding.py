"""What the doctor finds: something that prevents a switch from working, or that is worth knowing."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Weight(enum.Enum):
    """How much a finding matters."""

    PROBLEM = "problem"  # a switch has no effect, or a server does not start
    NOTE = "note"  # worth knowing


@dataclass(frozen=True)
class Finding:
    """``what`` was found, ``why`` it matters and what ``todo`` about it."""

    what: str
    why: str
    todo: str
    weight: Weight = Weight.PROBLEM


def note(what: str, why: str, todo: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(what, why, todo, Weight.NOTE)
