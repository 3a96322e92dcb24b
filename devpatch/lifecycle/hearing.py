"""How a reloader learns of a change: at its next look, or at once if a feature hears of it.

The framework's reloader, in the worker, decides what a change is. It looks at its files, sleeps, and looks again.
``sleep`` replaces its sleep. The ears of the supervisor hear of a change and end that sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from .endings import ending


class Watched(NamedTuple):
    """What a reloader watches, as absolute paths: files, and folders in which files at any depth count."""

    files: Iterable[str]
    folders: Iterable[str]


class Ears:
    """The supervisor's side. These hear nothing, so everybody looks at the files at intervals."""

    @property
    def are_open(self) -> bool:
        """Whether they hear of changes, or soon will."""
        return False

    def watch(self, watched: Watched, places: Iterable[str]) -> None:
        """Hear of changes of ``watched`` and directly in the folders ``places`` from now on. Returns at once."""

    def fileno(self) -> int | None:
        """Return a descriptor that can be read as soon as something was heard, or None."""
        return None

    def take(self) -> set[str]:
        """Return the files that changed since the last call. Empty if a look is due for another reason."""
        return set()

    def missed(self) -> None:
        """Act on a change that the reloader found by itself."""

    def close(self) -> None:
        """Hear nothing any more."""


ears = Ears()
Sleep = Callable[[float], object]

# The worker's side: a feature's replacement for the reloader's sleep, and what the reloader watches.
_sleep: Sleep | None = None
_watched: Callable[[], Watched] | None = None


def replace_ears(new: Ears) -> Callable[[], None]:
    """Let a feature hear of changes, in the supervisor. Return a function that undoes it."""
    global ears
    before, ears = ears, new

    def undo() -> None:
        global ears
        new.close()
        ears = before

    return undo


def replace_sleep(new: Sleep) -> Callable[[], None]:
    """Call ``new`` with the seconds that the reloader wants to sleep. Return a function that undoes it."""
    global _sleep
    _sleep = new

    def undo() -> None:
        global _sleep
        _sleep = None

    return undo


def reloader_runs(watched: Callable[[], Watched]) -> None:
    """Report that a reloader begins which looks at files and sleeps. ``watched`` returns what it watches.

    A reloader that hears of changes by itself is not reported.
    """
    global _watched
    _watched = watched


def watched() -> Watched:
    """Return what the reported reloader watches now."""
    assert _watched is not None
    return _watched()


def sleep(seconds: float) -> None:
    """Replace ``time.sleep`` in a reloader's loop. Raises SystemExit if the end of the process was requested."""
    if _sleep is None or _watched is None or not ending.is_main_thread():
        ending.sleep(seconds)
    else:
        _sleep(seconds)
        ending.exit_if_requested()
