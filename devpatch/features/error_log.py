"""DEVPATCH_ERROR_LOG: each error becomes a line of JSON in a file, for programs that read errors.

``error_log.schema.json`` describes the lines. No header, body, cookie, local variable or value of a query
string is in them.

Limits: lines are whole, also from several processes, where an append is one step, as it is on a POSIX
system's own disks. On Windows a lock on the file's first byte sees to that.
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import devpatch

from .. import console, failures, loads, requests, switches
from ..patching import Capability, ledger
from . import Feature

if TYPE_CHECKING:
    from ..serving import Start

_MASK = "***"
_CREDENTIALS = re.compile(r"//[^/@]*@")
_VALUE = re.compile(r"=[^&;]*")


class ErrorLog(Feature):
    """See the module."""

    name = "error-log"
    switch = switches.ERROR_LOG
    needs = frozenset({Capability.START, Capability.ERRORS, Capability.RESPONSES})

    def __init__(self) -> None:
        self._file: _File | None = None

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        return f"{self.name} is on for {start.server}: errors that nothing handles are added to {_path_in(settings)}"

    def unusable(self, settings: switches.Settings) -> str | None:
        """See Feature.unusable."""
        path = _path_in(settings)
        try:
            _open(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            return f"{self.switch.name}={path!r} can't be written ({reason}): name a file in a folder that is there"
        return None

    def begin(self, settings: switches.Settings) -> None:
        """See Feature.begin."""
        ledger.record(requests.listen(requests.Event.RESPONSE_SENT, self._report))
        self._use(settings)

    def _use(self, settings: switches.Settings) -> _File:
        if self._file is None:
            path = _path_in(settings)
            loads.written.add(path)
            self._file = _File(path)
        return self._file

    def _report(self, request: requests.Request) -> None:
        if request.error is None or self._file is None:
            return
        self._file.append(
            {
                **self._facts("request", request.failed_at, request.framework),
                "method": request.method,
                "url": masked(request.url),
                "status": request.status,
                **_described(request.error),
            }
        )

    def load_failed(self, error: BaseException) -> None:
        """See Feature.load_failed."""
        self._use(switches.read(os.environ)).append({**self._load(), **_described(error)})

    def worker_ended(self, end: loads.End) -> None:
        """See Feature.worker_ended."""
        ended = {"summary": end.summary, "status": end.status, "signal": end.signal}
        line = {**self._load(), "exception": None, "causes": [], "ended": ended}
        self._use(switches.read(os.environ)).append(line)

    def _load(self) -> dict[str, Any]:
        framework = next(iter(requests.frameworks), None)
        return {**self._facts("load", None, framework), "method": None, "url": None, "status": None}

    def _facts(self, kind: str, moment: float | None, framework: str | None) -> dict[str, Any]:
        now = datetime.now(timezone.utc) if moment is None else datetime.fromtimestamp(moment, timezone.utc)
        return {
            "time": now.isoformat(timespec="microseconds"),
            "kind": kind,
            "server": self.start.server if self.start else None,
            "framework": framework,
            "process": os.getpid(),
            "thread": threading.current_thread().name,
        }


def _described(error: BaseException) -> dict[str, Any]:
    """Return the parts of a line that tell of ``error``. Never raises."""
    try:
        requests.without_our_frames(error)
        *causes, last = failures.chain(error, around=0)
    except Exception:  # An exception may be made so that nothing can be read off it.
        causes, last = [], failures.bare(error)
    for link in (last, *causes):
        _shorten(link)
    return {"exception": last, "causes": list(reversed(causes)), "ended": None}


def _shorten(link: dict[str, Any]) -> None:
    """Leave of the source the line alone that a frame stands at."""
    for place in (*link["frames"], *([link["syntax"]] if link["syntax"] else ())):
        place["source"] = next((text for number, text in place["source"] if number == place["line"]), None)
    for chain in link["parts"]:
        for part in chain:
            _shorten(part)


def masked(url: str) -> str:
    """Return ``url`` without the values of its query string, and without a user and password."""
    path, question, query = url.partition("?")
    path = _CREDENTIALS.sub(f"//{_MASK}@", path)
    return path + question + _VALUE.sub(f"={_MASK}", query.partition("#")[0])


def _path_in(settings: switches.Settings) -> str:
    path = os.path.expanduser(str(settings[switches.ERROR_LOG]))
    return os.path.abspath(os.path.join(devpatch.folder or os.curdir, path))


def _open(path: str) -> None:
    """Make the file, if need be, and see that it can be written. Raises OSError, ValueError."""
    if os.path.exists(path):
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
            raise ValueError("it is no file")
    os.close(_descriptor(path))


def _descriptor(path: str) -> int:
    # Not blocking, for a pipe (/dev/stdout in a container is one) may have no reader, or a slow one.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags, 0o666)


class _File:
    """A file that lines are added to; opened for each, so that it may be moved away or deleted meanwhile."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._told = False

    def append(self, line: dict[str, Any]) -> None:
        """Add ``line``, whole or not at all. Never raises: that it can't be done is told once."""
        try:
            data = (json.dumps(_clean(line)) + "\n").encode()
            with self._lock:
                descriptor = _descriptor(self._path)
                try:
                    _write(descriptor, data)
                finally:
                    os.close(descriptor)
        except Exception as error:
            if not self._told:
                self._told = True
                reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
                console.say(
                    f"error-log: {self._path} can't be written ({reason}); the server goes on without it"
                )


def _write(descriptor: int, data: bytes) -> None:
    with _locked(descriptor):
        written = os.write(descriptor, data)
        if written < len(data):  # The disk is full, or a pipe is.
            end = os.lseek(descriptor, 0, os.SEEK_CUR)
            if os.fstat(descriptor).st_size == end:  # Nobody has added a line since.
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
    """Return ``value`` with the surrogates in its texts written out, for no UTF-8 has them."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


_the_one = ErrorLog()


def feature() -> ErrorLog:
    """Return the feature; there is one per process."""
    return _the_one
