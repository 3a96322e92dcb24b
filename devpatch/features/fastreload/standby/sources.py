"""How a worker reads sources: never a text that was replaced, and from memory what a standby has read ahead.

Python's .pyc files are valid for a source of the same size and the same whole second. So two saves of the same size
within a second would run the first text. A source that changed in the current second is read without its .pyc, and
none is written.

Limits: the methods of importlib's loader are replaced in the whole process, which its user can see. A .pyc file that
another program writes within that second stays valid for Python.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader
from types import CodeType
from typing import Any

# The times of files may lag behind the clock by a tick of the kernel, at most 10 ms. Doubled, and rounded up.
_CLOCK_LAG = 0.05  # seconds

Stamp = tuple[int, int]  # the time of the last change, in ns, and the size, in bytes

_ahead: dict[str, tuple[Stamp, CodeType]] = {}


def stamp(path: str) -> Stamp | None:
    """Return the stamp of a file, or None if it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def is_recent(modified: float) -> bool:
    """Whether a file that was modified then, in seconds since the epoch, may still change within that second."""
    return int(modified) >= int(time.time() - _CLOCK_LAG)


def install() -> None:
    """Change how this process reads sources."""
    loader: Any = SourceFileLoader
    path_stats = loader.path_stats

    def stats_unless_recent(self: Any, path: str) -> Any:
        found = path_stats(self, path)
        if is_recent(found["mtime"]):
            raise OSError("changed in the current second")  # importlib then uses no .pyc
        return found

    loader.path_stats, loader.get_code = stats_unless_recent, _CodeReadAhead(loader.get_code)


class _CodeReadAhead:
    """The method ``get_code`` of loaders: what was read ahead, if the file is the same, or else importlib's method.

    A descriptor, because importlib removes its frames from the traceback of a SyntaxError only where all are its own.
    """

    def __init__(self, get_code: Any) -> None:
        self._get_code = get_code

    def __get__(self, loader: Any, kind: Any) -> Any:
        if loader is not None:
            kept = _ahead.pop(loader.path, None)
            if kept is not None and stamp(loader.path) == kept[0]:
                return lambda fullname: kept[1]
        return self._get_code.__get__(loader, kind)


def read_ahead(sources: Iterable[tuple[str, str]]) -> None:
    """Read the code of ``sources``, pairs of a module's name and file. What can't be read is left for later."""
    for name, file in sources:
        before = stamp(file)
        if before is None or is_recent(before[0] / 1e9):
            continue
        try:
            code = SourceFileLoader(name, file).get_code(name)
        except Exception:
            continue  # The worker itself reports it.
        if isinstance(code, CodeType) and stamp(file) == before:
            _ahead[file] = (before, code)
