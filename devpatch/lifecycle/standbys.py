"""How the next worker gets ready before it is needed: the standby.

A feature decides what a standby does while it waits. The feature that runs the session starts the processes. The two
exchange ``Instructions``, which the supervisor's side makes and the other process's side follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

Instructions = Mapping[str, Any]  # JSON data
Facts = Mapping[str, Any]  # JSON data: what a worker reports about itself

# The exit status of a standby that could not get ready. The supervisor then starts a worker that is not prepared.
NOT_READY = 4
# The exit status of a process that only finds something out. What it found, or how far it came, is in its folder.
FOUND_OUT = 0


class Process(Protocol):
    """A process that follows instructions, and runs none of the user's code."""

    def has_ended(self) -> bool:
        """Whether it has ended."""
        ...

    def stop(self) -> None:
        """End it."""
        ...

    def forget(self) -> None:
        """Remove its folder."""
        ...


Launch = Callable[[Instructions], Process]


class Preparation:
    """The supervisor's side. This one prepares nothing: a standby starts when the worker before it ends."""

    def begin(self, folder: Path) -> None:
        """Begin a session. ``folder`` is there until its end."""

    def for_worker(self) -> Instructions | None:
        """Return the instructions for a worker that was not prepared, or None."""
        return None

    def for_standby(self) -> Instructions | None:
        """Return the instructions for a standby, or None if it can't be prepared now."""
        return None

    def learn(self, facts: Facts, launch: Launch) -> None:
        """Act on the facts that a worker has reported. ``launch`` starts a process that follows instructions."""

    def step(self) -> None:
        """Go on with what was begun. Called several times per second while a worker serves. Returns at once."""

    def is_ready(self, size: int) -> None:
        """Act on a standby that waits. It uses ``size`` bytes of memory; 0: not known."""

    def may_wait(self, size: int) -> bool:
        """Whether a standby that uses ``size`` bytes may go on waiting."""
        return True

    def is_current(self, instructions: Instructions) -> bool:
        """Whether what a standby with these instructions has prepared is still what is on the disk."""
        return True

    def failed(self) -> None:
        """Act on a standby that has ended by itself."""

    def refuse(self, reason: str) -> None:
        """Prepare no standby any more, because of what the code does: ``reason`` completes "because"."""

    def end(self) -> None:
        """End what was begun."""


preparation = Preparation()

_objection: Callable[[], str | None] | None = None


def objection() -> str | None:
    """Return why this worker, which was a prepared standby, must be replaced by one that was not, or None."""
    return None if _objection is None else _objection()


def replace_preparation(new: Preparation) -> Callable[[], None]:
    """Let a feature prepare standbys. Return a function that undoes it."""
    global preparation
    before, preparation = preparation, new

    def undo() -> None:
        global preparation
        preparation = before

    return undo


def object_with(new: Callable[[], str | None]) -> None:
    """Ask ``new`` for this worker's ``objection``."""
    global _objection
    _objection = new
