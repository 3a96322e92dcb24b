"""Take snapshots of the files whose change may repair a broken worker, and compare them.

While a worker serves, its framework's own reloader watches. This module watches before that, and after the worker
has died. It polls, so that no package has to be installed. A snapshot of 1,000 files takes about 3 ms, and at most
five are taken per second.

Limits: symbolic links to directories are not followed. Beyond ``_MAX_FILES`` files, the deepest files are not seen.
"""

from __future__ import annotations

import fnmatch
import os
import sys
import time
from collections import deque
from collections.abc import Collection, Iterable

from ....lifecycle import loads
from ....lifecycle.failures import is_own
from ....lifecycle.file_names import SKIPPED_FOLDERS, is_skipped_file, is_source

Stamp = tuple[int, ...] | None  # None: the file does not exist
Snapshot = dict[str, Stamp]

_MAX_FILES = 50_000
_MAX_ECHO = 1_000_000  # bytes
SESSION_FOLDER = ".devpatch-session-"  # how the names of the sessions' temporary folders begin


class Watcher:
    """Takes snapshots of the project's files, and of other files that it was given."""

    def __init__(
        self,
        folders: Iterable[str],
        files: Iterable[str] = (),
        exclude_patterns: Collection[str] = (),
    ) -> None:
        """Watch ``folders`` and everything below them, the top level of each ``sys.path`` entry, and ``files``.

        Files that match one of ``exclude_patterns`` (see fnmatch) are not watched.
        """
        projects = dict.fromkeys(map(os.path.abspath, folders))
        self.folders = [path for path in projects if not _is_too_wide(path)]
        self._paths = set(map(os.path.abspath, (*filter(None, sys.path), *projects)))
        self._files = set(map(os.path.abspath, files))
        self._exclude = exclude_patterns
        self._duration = 0.0

    @property
    def interval(self) -> float:
        """The seconds between two snapshots of broken code. At most a fifth of the time is spent on snapshots."""
        return max(0.2, 4 * self._duration)

    @property
    def interval_in_start(self) -> float:
        """The same while a worker loads: at most a fiftieth, because they would slow down the load."""
        return max(0.2, 49 * self._duration)

    def look(self) -> Snapshot:
        """Return a snapshot of all watched files."""
        started = time.perf_counter()
        snapshot: Snapshot = {}
        for path in self._paths:
            _scan_top_level(path, snapshot)
        for folder in self.folders:
            _scan_below(folder, snapshot)
        for file in self._files:
            snapshot[file] = _stamp(file)
        for name in loads.written:
            snapshot.pop(name, None)
        for pattern in self._exclude:
            for name in fnmatch.filter(snapshot, pattern):
                del snapshot[name]
        for name in [name for name, stamp in snapshot.items() if stamp and stamp[2:] in _OUTPUTS]:
            del snapshot[name]
        self._duration = time.perf_counter() - started
        return snapshot

    def include(self, files: Iterable[str], paths: Iterable[str], before: Snapshot, since: float) -> None:
        """Watch ``files`` and the top level of ``paths`` from now on.

        The new files are added to ``before``. A file that was modified after ``since``, in seconds since the epoch,
        is added as missing, so that it counts as changed.
        """
        files = set(files)
        self._files.update(files)
        # A module that was not found may be created next to one that was found.
        folders = {os.path.dirname(file) for file in files if is_own(file)}
        self._paths.update(path for path in folders.union(paths) if os.path.isdir(path))
        for name, stamp in self.look().items():
            if name not in before:
                is_newer = stamp is not None and stamp[0] > since * 1e9
                before[name] = None if is_newer else stamp


def project_folders(script: str | None, folder: str) -> list[str]:
    """Return the folders of a project that ``script`` (None for a module) starts in ``folder``."""
    # The folder of a console script contains the commands of the whole environment.
    return [
        folder,
        *([os.path.dirname(os.path.abspath(script))] if script and script.endswith(".py") else []),
    ]


def _is_too_wide(folder: str) -> bool:
    """Whether ``folder`` is a home directory without code at its top level, or a whole disk."""
    if folder == os.path.abspath(os.sep):
        return True
    try:
        return folder == os.path.expanduser("~") and not any(
            name.endswith(".py") for name in os.listdir(folder)
        )
    except OSError:
        return True


def _stamp(path: str | int) -> Stamp:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev


# The files that stdout and stderr are redirected to. They change whenever a worker prints something.
_OUTPUTS = {stamp[2:] for stamp in map(_stamp, (1, 2)) if stamp}


def _scan_top_level(path: str, snapshot: Snapshot) -> None:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir():
                    # The time of a folder changes when Python creates a __pycache__ in it. The inode changes
                    # only when the folder is created again.
                    if not _is_skipped(entry.name):
                        snapshot[entry.path] = (0, 0, entry.inode(), 0)
                elif not is_skipped_file(entry.name):
                    snapshot[entry.path] = _stamp(entry.path)
    except OSError:
        snapshot[path] = _stamp(path)  # A zip file, or a path that does not exist yet.


def _scan_below(folder: str, snapshot: Snapshot) -> None:
    home = os.path.expanduser("~")
    todo = deque([folder])  # the nearest folders first, because the number of files is limited
    while todo and len(snapshot) < _MAX_FILES:
        try:
            here = todo.popleft()
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if here == home and entry.name.startswith("."):
                            continue  # Programs keep their own files there.
                        if not _is_skipped(entry.name) and not _is_environment(entry.path):
                            todo.append(entry.path)
                    elif not is_skipped_file(entry.name):
                        snapshot[entry.path] = _stamp(entry.path)
        except OSError:
            continue  # The folder was just removed, or can't be read.


def _is_skipped(folder: str) -> bool:
    return folder in SKIPPED_FOLDERS or folder.startswith(SESSION_FOLDER)


def _is_environment(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def differences(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the files that changed, appeared or disappeared, sources first."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(names, key=lambda name: (not is_source(name), name))


def is_echo(name: str, before: Stamp, after: Stamp, text: str) -> bool:
    """Whether the session itself caused the text appended to a file: part of ``text``, or a line of devpatch."""
    if is_source(name) or before is None or after is None or not has_grown(before, after):
        return False
    try:
        with open(name, "rb") as file:
            file.seek(before[1])
            added = file.read(_MAX_ECHO).decode("utf-8", "replace")
    except OSError:
        return False
    return "devpatch: " in added or any(len(line) > 10 and line in text for line in added.splitlines())


def has_grown(before: Stamp, after: Stamp) -> bool:
    """Whether a file is the same file and longer than before, like a log."""
    return before is not None and after is not None and before[2:] == after[2:] and before[1] < after[1]
