"""How a reloader learns of a change: at its next look, or immediately if a feature observes the files.

The framework's reloader, in the worker, decides what a change is. It looks at its files, sleeps, and looks again.
``sleep`` replaces its sleep. The supervisor's observer notices a change and ends that sleep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from .endings import ending


class Watched(NamedTuple):
    """What a reloader watches, as absolute paths: files, and folders in which files at any depth count."""

    files: Iterable[str]
    folders: Iterable[str]


class Observer:
    """The supervisor's side. This one observes nothing, so everybody polls the files."""

    @property
    def is_active(self) -> bool:
        """Whether it observes files, or soon will."""
        return False

    def watch(self, watched: Watched, file_folders: Iterable[str]) -> None:
        """Observe ``watched``, and the files directly in ``file_folders``, from now on. Returns at once."""

    def fileno(self) -> int | None:
        """Return a descriptor that can be read as soon as something has changed, or None."""
        return None

    def take(self) -> set[str]:
        """Return the files that changed since the last call. Empty if a look is due for another reason."""
        return set()

    def missed(self) -> None:
        """Act on a change that the reloader found by itself."""

    def close(self) -> None:
        """Observe nothing any more."""


class Pauses(Protocol):
    """The worker's side: a feature's replacement for the pauses of a reloader."""

    def before_first_look(self) -> object:
        """Wait until a look at all files slows nothing down."""

    def sleep(self, seconds: float) -> object:
        """Wait for a change. ``seconds`` is what the reloader wants to sleep."""


observer = Observer()

_pauses: Pauses | None = None
_watched: Callable[[], Watched] | None = None  # what the reloader watches


def replace_observer(new: Observer) -> Callable[[], None]:
    """Let a feature observe files, in the supervisor. Return a function that undoes it."""
    global observer
    before, observer = observer, new

    def undo() -> None:
        global observer
        new.close()
        observer = before

    return undo


def replace_pauses(new: Pauses) -> Callable[[], None]:
    """Let ``new`` decide when the reloader looks. Return a function that undoes it."""
    global _pauses
    _pauses = new

    def undo() -> None:
        global _pauses
        _pauses = None

    return undo


def reloader_runs(watched: Callable[[], Watched]) -> None:
    """Report that a reloader begins which looks at files and sleeps. ``watched`` returns what it watches.

    A reloader that observes files by itself is not reported.
    """
    global _watched
    _watched = watched


def watched() -> Watched:
    """Return what the reported reloader watches now."""
    assert _watched is not None
    return _watched()


def before_first_look() -> None:
    """Wait before a reloader looks at its files for the first time. Raises SystemExit as ``sleep`` does."""
    if _pauses is not None and ending.is_main_thread():
        _pauses.before_first_look()
        ending.exit_if_requested()


def sleep(seconds: float) -> None:
    """Replace ``time.sleep`` in a reloader's loop. Raises SystemExit if the end of the process was requested."""
    if _pauses is None or _watched is None or not ending.is_main_thread():
        ending.sleep(seconds)
    else:
        _pauses.sleep(seconds)
        ending.exit_if_requested()
