"""The file of DEVPATCH_ERROR_LOG.

Limits: lines stay whole, also from several processes, where an append is one step, as on the local disks of
POSIX systems. On Windows a lock on the file's first byte ensures that.
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

from ...console import say


def check(path: str) -> None:
    """Create the file if necessary, and check that it can be written. Raises OSError, ValueError."""
    if os.path.exists(path):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
            raise ValueError("it is not a regular file")
    os.close(_descriptor(path))


def _descriptor(path: str) -> int:
    # Not blocking: a pipe (/dev/stdout in a container is one) may have no reader, or a slow one.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


class LogFile:
    """A file that lines are appended to. It is opened for each line, so it may be moved or deleted meanwhile."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._reported = False

    def append(self, line: dict[str, Any]) -> None:
        """Append ``line``, whole or not at all. Never raises: a failure is printed once."""
        try:
            data = (json.dumps(_clean(line)) + "\n").encode()
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
                say(f"error-log: {self._path} can't be written ({reason}); the server goes on without it")


def _write(descriptor: int, data: bytes) -> None:
    with _locked(descriptor):
        written = os.write(descriptor, data)
        if written < len(data):  # The disk or a pipe is full.
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            if os.fstat(descriptor).st_size == end:  # Nobody has appended a line since.
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


def _clean(value: Any) -> Any:
    """Return ``value`` with the surrogates in its texts escaped, because UTF-8 has none."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
