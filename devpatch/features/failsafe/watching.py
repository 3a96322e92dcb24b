"""What the files that a broken worker may be mended by look like, and which of them changed.

A worker that serves has its framework's own reloader; this is for the time before that, and after it died.
It looks rather than listens: a directory of 1,000 files takes some 3 ms, a look is taken some four times a
second, and it needs nothing that has to be installed.

Limits: symbolic links to directories are not followed. Beyond ``_MOST`` files the deepest are not seen.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Collection, Iterable

from ... import loads
from ...failures import is_own

Stamp = tuple[int, ...] | None  # None: not there
Picture = dict[str, Stamp]

_MOST = 50_000
_LONGEST_ECHO = 1_000_000  # bytes
SESSION_FOLDER = ".devpatch-session-"  # how the names of sessions' own temporary folders begin
_SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "site-packages", "dist-packages"}
    | {".git", ".hg", ".svn", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}
)
# What interpreters and editors put beside the file that they are about.
_SKIPPED_FILES = re.compile(
    r".*\.py[co] | .*~ | \..*\.sw.? | \.\#.* | \#.*\# | 4913 | .*___jb_\w+___ | \.goutputstream-.*",
    re.VERBOSE,
)
# What programs write rather than read; while one starts, that says nothing about the code.
_WRITTEN = re.compile(
    r".*(\.log(\.\d+)?|\.db|\.sqlite3?|-wal|-shm|-journal|\.pid|\.lock|\.sock|\.tmp|\.prof)"
)
# What people write, and programs read.
_READ = re.compile(
    r".*\.(ya?ml|toml|json|ini|cfg|conf|env|xml|html?|jinja2?|j2|css|js|ts|csv|po|sql|graphql|md|rst)|.*/\.\w*env"
)
_SOURCE = (".py", ".pyi", ".pyx", ".pth")


class Watcher:
    """Takes pictures of the project's files, and of what else it was told of."""

    def __init__(
        self,
        folders: Iterable[str],
        paths: Iterable[str],
        files: Iterable[str],
        exclude_patterns: Collection[str],
    ) -> None:
        """Watch ``folders`` with all that is below them, the top level of ``paths``, and ``files``."""
        projects = dict.fromkeys(map(os.path.abspath, folders))
        self.folders = [path for path in projects if not _is_too_wide(path)]
        self._paths = set(map(os.path.abspath, (*paths, *projects)))
        self._files = set(map(os.path.abspath, files))
        self._exclude = exclude_patterns
        self._took = 0.0

    @property
    def interval(self) -> float:
        """How many seconds to leave between two looks: few, but so that most of the time is not spent looking."""
        return max(0.2, 4 * self._took)

    def look(self) -> Picture:
        """Return what every file looks like now."""
        started = time.perf_counter()
        picture: Picture = {}
        for path in self._paths:
            _look_at_top_level(path, picture)
        for folder in self.folders:
            _look_below(folder, picture)
        for file in self._files:
            picture[file] = _stamp(file)
        for name in loads.written:
            picture.pop(name, None)
        for pattern in self._exclude:
            for name in fnmatch.filter(picture, pattern):
                del picture[name]
        for name in [name for name, stamp in picture.items() if stamp and stamp[2:] in _OUTPUTS]:
            del picture[name]
        self._took = time.perf_counter() - started
        return picture

    def include(self, files: Iterable[str], paths: Iterable[str], before: Picture, since: float) -> None:
        """Watch ``files`` and the top level of ``paths`` from now on.

        ``before`` gets what they looked like at the time ``since``, in seconds since the epoch: those that
        were changed after it count as changed.
        """
        files = set(files)
        self._files.update(files)
        # A module that was not found may come to be beside one that was.
        folders = {os.path.dirname(file) for file in files if is_own(file)}
        self._paths.update(path for path in folders.union(paths) if os.path.isdir(path))
        for name, stamp in self.look().items():
            if name not in before:
                is_newer = stamp is not None and stamp[0] > since * 1e9
                before[name] = None if is_newer else stamp


def project_folders(script: str | None, folder: str) -> list[str]:
    """Return where a project lies that is started by ``script`` (None: by a module) in ``folder``."""
    # A console script's folder holds the commands of the whole environment.
    return [
        folder,
        *([os.path.dirname(os.path.abspath(script))] if script and script.endswith(".py") else []),
    ]


def _is_too_wide(folder: str) -> bool:
    """Whether ``folder`` is somebody's home directory, or a disk, and no project: no code stands right in it."""
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


# The files that our own output goes to: it would start a worker whenever one has said something.
_OUTPUTS = {stamp[2:] for stamp in map(_stamp, (1, 2)) if stamp}


def _look_at_top_level(path: str, picture: Picture) -> None:
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir():
                    # Its time changes when Python puts a __pycache__ into it; it is another when it was put
                    # there anew.
                    if not _is_skipped(entry.name):
                        picture[entry.path] = (0, 0, entry.inode(), 0)
                elif not _SKIPPED_FILES.fullmatch(entry.name):
                    picture[entry.path] = _stamp(entry.path)
    except OSError:
        picture[path] = _stamp(path)  # A zip file, or nothing yet.


def _look_below(folder: str, picture: Picture) -> None:
    home = os.path.expanduser("~")
    todo = deque([folder])  # the nearest first, for there is an end to it
    while todo and len(picture) < _MOST:
        try:
            here = todo.popleft()
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if here == home and entry.name.startswith("."):
                            continue  # What all sorts of programs keep of their own.
                        if not _is_skipped(entry.name) and not _is_environment(entry.path):
                            todo.append(entry.path)
                    elif not _SKIPPED_FILES.fullmatch(entry.name):
                        picture[entry.path] = _stamp(entry.path)
        except OSError:
            continue  # It has just gone, or is not ours to read.


def _is_skipped(folder: str) -> bool:
    return folder in _SKIPPED_FOLDERS or folder.startswith(SESSION_FOLDER)


def _is_environment(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def differences(before: Picture, after: Picture) -> list[str]:
    """Return the files that changed, appeared or disappeared; sources first."""
    names = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(names, key=lambda name: (not is_source(name), name))


def is_source(name: str) -> bool:
    """Whether ``name`` is a file that Python reads when it loads code."""
    return name.endswith(_SOURCE)


class Restraint:
    """Keeps files that programs write, a log say, from starting one worker after the other."""

    PROMPT = 10.0  # seconds; a change that comes sooner after a worker's end may be the worker's echo
    MOST_PROMPT = 5  # starts in a row that one file may cause so, if it is no source

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._in_this_start: set[str] = set()
        self._contents: dict[str, bytes] = {}
        self._prompt: dict[str, int] = {}
        self.muted: set[str] = set()

    def begin_start(self) -> None:
        """Say that the next worker starts."""
        self._in_a_row = {name: self._in_a_row[name] for name in self._in_this_start}
        self._in_this_start = set()

    def in_start(self, before: Picture, after: Picture, *, has_ended: bool) -> list[str]:
        """Return which changes during a worker's start call for another one.

        The worker may have made them itself. So a file that is no source does not count while it lives, nor
        where it has only grown, as a log does, unless its name says that it is one to be read; and nothing
        does that changes in every start.
        """
        changes = [
            name
            for name in differences(before, after)
            if self._is_new_source(name)
            if is_source(name)
            or (
                has_ended
                and not _WRITTEN.fullmatch(name)
                and (_READ.fullmatch(name) or not has_grown(before.get(name), after.get(name)))
            )
        ]
        for name in set(changes) - self._in_this_start:
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
        self._in_this_start.update(changes)
        return [
            name for name in changes if self._in_a_row[name] <= (_MOST_IN_A_ROW if is_source(name) else 1)
        ]

    def _is_new_source(self, name: str) -> bool:
        """Whether a source has another content than in the last start, if it changed in that; True of all others."""
        if not is_source(name) or name in self._in_this_start:
            return True
        try:
            with open(name, "rb") as file:
                content = hashlib.sha256(file.read()).digest()
        except OSError:
            content = b""
        was, self._contents[name] = self._contents.get(name), content
        return was != content or name not in self._in_a_row

    def in_wait(self, changes: list[str], waited: float) -> list[str]:
        """Return which of the ``changes`` call for a start, ``waited`` s after the last worker's end."""
        wanted = [name for name in changes if name not in self.muted]
        for name in wanted:
            if not is_source(name):
                self._prompt[name] = self._prompt.get(name, 0) + 1 if waited < self.PROMPT else 0
                if self._prompt[name] > self.MOST_PROMPT:
                    self.muted.add(name)
        return [name for name in wanted if name not in self.muted]

    def forget(self) -> None:
        """Begin anew: the code is whole again, or somebody asked for a start."""
        self._prompt.clear()
        self.muted.clear()


_MOST_IN_A_ROW = 5  # starts in a row, of a source that each worker changes


def is_echo(name: str, before: Stamp, after: Stamp, text: str) -> bool:
    """Whether what was added to a file is what a session said itself: the failure's ``text``, or a line of devpatch."""
    if is_source(name) or before is None or after is None or not has_grown(before, after):
        return False
    try:
        with open(name, "rb") as file:
            file.seek(before[1])
            added = file.read(_LONGEST_ECHO).decode("utf-8", "replace")
    except OSError:
        return False
    return "devpatch: " in added or any(len(line) > 10 and line in text for line in added.splitlines())


def has_grown(before: Stamp, after: Stamp) -> bool:
    """Whether a file is the same one and longer than it was, as a log is that was written to."""
    return before is not None and after is not None and before[2:] == after[2:] and before[1] < after[1]
