"""Notice changes by frequent looks: five times a second, within 2 % of a core.

The files that the worker has loaded, and the folders, are looked at most often. All other files below the folders are
looked at once a second, as the frameworks' reloaders do.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable

from .folders import folders_below, is_noise

INTERVAL = 0.2  # seconds between two looks at the loaded files
INTERVAL_OF_OTHERS = 1.0  # the same for the other files
_SHARE = 0.01  # of a core, for each of the two kinds of looks

Stamps = dict[str, "tuple[int, int] | None"]


class Polling(threading.Thread):
    """Reports the changes below some folders, in its own thread."""

    def __init__(self, files: list[str], folders: list[str], report: Callable[[set[str]], object]) -> None:
        """Call ``report`` with changed paths. ``folders`` count with all folders below them."""
        super().__init__(name="devpatch-polling", daemon=True)
        self._files, self._folders, self._report = files, folders, report
        self._stop_event = threading.Event()

    def stop(self) -> None:
        """Report nothing any more."""
        self._stop_event.set()

    def run(self) -> None:
        """See threading.Thread."""
        folders = folders_below(self._folders)
        loaded, others = _Looks(self._files, INTERVAL), _Looks(_files_in(folders), INTERVAL_OF_OTHERS)
        folder_looks = _Looks(folders, INTERVAL)
        self._report(set())
        while not self._stop_event.wait(INTERVAL):
            changed = loaded.take()
            if moved := folder_looks.take():
                folders = folders_below(self._folders)
                folder_looks.replace(folders)
                changed |= others.replace(_files_in(folders)) or moved
            changed |= others.take()
            if changed:
                self._settle(changed, loaded)
                self._report(changed)

    def _settle(self, changed: set[str], loaded: _Looks) -> None:
        """Wait until the loaded files do not change any more."""
        while not self._stop_event.wait(_QUIET) and (more := loaded.take(at_once=True)):
            changed |= more


_QUIET = 0.015  # seconds


class _Looks:
    """The stamps of some files, and the time at which the next look is due."""

    def __init__(self, paths: Iterable[str], interval: float) -> None:
        self._interval = interval
        self._paths = list(paths)
        self._due = 0.0
        self._stamps: Stamps = {}
        self._stamps = self._look()

    def take(self, at_once: bool = False) -> set[str]:
        """Return the paths that changed since the last look, if the next one is due."""
        if not at_once and time.monotonic() < self._due:
            return set()
        before, self._stamps = self._stamps, self._look()
        return {path for path, stamp in self._stamps.items() if stamp != before[path]}

    def replace(self, paths: Iterable[str]) -> set[str]:
        """Look at ``paths`` from now on. Return those that changed, appeared or disappeared."""
        self._paths = list(paths)
        before, self._stamps = self._stamps, self._look()
        names = before.keys() | self._stamps.keys()
        return {path for path in names if before.get(path) != self._stamps.get(path)}

    def _look(self) -> Stamps:
        began = time.perf_counter()
        stamps = {path: _stamp(path) for path in self._paths}
        took = time.perf_counter() - began
        self._due = time.monotonic() + max(self._interval - 0.01, took / _SHARE)
        return stamps


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _files_in(folders: Iterable[str]) -> list[str]:
    found = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                found += [entry.path for entry in entries if not is_noise(entry.path) and entry.is_file()]
        except OSError:
            continue  # It was just removed.
    return found
