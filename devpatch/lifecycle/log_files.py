"""Files to which lines of JSON are appended: DEVPATCH_ERROR_LOG and DEVPATCH_SUMMARY_LOG.

Limits: lines of several processes are not mixed if the file system appends atomically, as local file systems do on
POSIX. On Windows, a lock on the file's first byte prevents it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..console import WARNING, plain_data, say
from . import starts


def path_of(value: object) -> str:
    """Return the absolute path for the value of a switch. It may be relative to the folder of Python's start."""
    path = os.path.expanduser(str(value))
    return os.path.abspath(os.path.join(starts.launch_folder or os.curdir, path))


def why_not_writable(switch: str, path: str) -> str | None:
    """Return the line that says why the file that ``switch`` names can't be written, or None."""
    try:
        check(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"{switch}={path!r} can't be written ({reason}); name a file in a folder that is there"
    return None


def check(path: str) -> None:
    """Create the file if necessary, and check that it can be written. Raises OSError, ValueError."""
    if os.path.exists(path):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
            raise ValueError("it is not a regular file")
    os.close(_descriptor(path))


def _descriptor(path: str) -> int:
    # Non-blocking: a pipe (/dev/stdout in a container is one) may have no reader, or a slow one.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


class LogFile:
    """A file to which lines are appended. It is opened for each line, so it may be moved or deleted in between."""

    def __init__(self, path: str, feature: str) -> None:
        """``feature`` is the name of the feature that writes, for the message of a failure."""
        self._path = path
        self._feature = feature
        self._lock = threading.Lock()
        self._reported = False

    def append(self, line: dict[str, Any]) -> None:
        """Append ``line``, completely or not at all. Never raises: the first failure is printed."""
        try:
            data = (json.dumps(plain_data(line)) + "\n").encode()
            with self._lock:
                descriptor = _descriptor(self._path)
                try:
                    _write(descriptor, data)
                finally:
                    os.close(descriptor)
        except Exception as error:
            if not self._reported:
                self._reported = True
                reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                say(
                    f"{self._feature}: {self._path} can't be written ({reason}); the server goes on without it",
                    WARNING,
                )


def _write(descriptor: int, data: bytes) -> None:
    with _locked(descriptor):
        written = os.write(descriptor, data)
        if written < len(data):  # The disk or a pipe is full.
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            if os.fstat(descriptor).st_size == end:  # Nobody has appended another line.
                os.ftruncate(descriptor, end - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    if os.name != "nt":
        yield
        return
    import msvcrt

    os.lseek(descriptor, 0, os.SEEK_SET)
    msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
