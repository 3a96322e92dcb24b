"""Notice changes by the operating system's events, which watchfiles passes on.

Limits: on Linux each folder is watched by itself, so that node_modules and virtual environments cost nothing.
Elsewhere the system watches whole trees, and the folders of single files outside of them are not watched.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .folders import folders_below, is_noise

# Milliseconds. A change is reported after one step without another one, and at the latest after the longest batch.
# watchfiles wakes up at each step. So the steps are longer while nobody edits: that takes 0.4 % of a core less.
_STEP = 10
_STEP_WITHOUT_EDITS = 40
_LONGEST_BATCH = 1600
_TIMEOUT = 5000
_EDITING = 300.0  # seconds after a change in which the next one is likely
_MAX_TRIES = 5  # in a row to watch the folders, if one of them goes away meanwhile
_ADDED = 1  # watchfiles.Change.added
_EACH_FOLDER = sys.platform == "linux"


class Unavailable(Exception):
    """There are no events. The message says why, and what to do."""


def load_watchfiles() -> Any:
    """Return the class of watchfiles that receives events. Raises Unavailable."""
    if os.environ.get("WATCHFILES_FORCE_POLLING"):
        raise Unavailable("WATCHFILES_FORCE_POLLING is set")
    try:
        from watchfiles._rust_notify import RustNotify  # documented as watchfiles' "Rust backend"
    except ImportError:
        raise Unavailable("watchfiles is not installed: pip install 'devpatch[fast]'") from None
    return RustNotify


class Events(threading.Thread):
    """Reports the changes below some folders, in its own thread."""

    def __init__(
        self,
        folders: list[str],
        file_folders: list[str],
        report: Callable[[set[str]], object],
        fail: Callable[[str], object],
    ) -> None:
        """Call ``report`` with changed paths, and with an empty set whenever changes may have been missed.

        ``folders`` count with all folders below them, ``file_folders`` without. ``fail`` is called with the reason if
        there are no more events.
        """
        super().__init__(name="devpatch-events", daemon=True)
        self._folders, self._file_folders, self._report, self._fail = folders, file_folders, report, fail
        self._stop_event = threading.Event()
        self._changed_at = -math.inf

    def stop(self) -> None:
        """Report nothing any more."""
        self._stop_event.set()

    def run(self) -> None:
        """See threading.Thread."""
        try:
            notify = load_watchfiles()
            tries = 0
            while not self._stop_event.is_set():
                try:
                    self._watch(notify, self._paths())
                    tries = 0
                except FileNotFoundError:
                    # Some programs make a folder, such as one for a search index, for a moment only.
                    tries += 1
                    if tries == _MAX_TRIES:
                        raise
        except Unavailable as error:
            self._fail_with(str(error))
        except Exception as error:  # An exhausted limit is an OSError, or an error of watchfiles' own.
            self._fail_with(f"{error}".splitlines()[0] if str(error) else type(error).__name__)

    def _fail_with(self, reason: str) -> None:
        if not self._stop_event.is_set():
            self._fail(reason)

    def _paths(self) -> list[str]:
        if not _EACH_FOLDER:
            return [path for path in self._folders if os.path.isdir(path)]
        file_folders = [
            path for path in self._file_folders if os.path.isdir(path) and os.access(path, os.R_OK)
        ]
        return list(dict.fromkeys((*folders_below(self._folders), *file_folders)))

    def _watch(self, notify: Any, paths: list[str]) -> None:
        """Report changes until a folder appears below ``paths``."""
        # The last argument would hide an exhausted limit too.
        watcher = notify(paths, False, False, 300, not _EACH_FOLDER, False)
        try:
            self._report(set())
            while not self._stop_event.is_set():
                is_editing = time.monotonic() - self._changed_at < _EDITING
                step = _STEP if is_editing else _STEP_WITHOUT_EDITS
                found = watcher.watch(_LONGEST_BATCH, step, _TIMEOUT, self._stop_event)
                if isinstance(found, str):
                    continue  # Nothing happened within the timeout, or this thread stops.
                if changed := {path for _change, path in found if not is_noise(path)}:
                    self._changed_at = time.monotonic()
                    self._report(changed)
                if _EACH_FOLDER and any(change == _ADDED and os.path.isdir(path) for change, path in found):
                    return
        finally:
            watcher.close()
