"""The supervisor's observer of files: events if there are any, otherwise frequent polling. One line says why."""

from __future__ import annotations

import _thread
import socket
import threading
import time
from collections.abc import Iterable
from functools import partial
from types import BuiltinFunctionType

from ....console import WARNING, say
from ....lifecycle import file_changes
from ....lifecycle.file_changes import Watched
from ....lifecycle.file_names import is_source
from .events import Events, Unavailable, load_watchfiles
from .folders import git_locks, is_held, silent_mount
from .polling import INTERVAL, Polling

_LOCK_INTERVAL = 0.005  # seconds between two looks whether git has finished
# Seconds between two messages about files that are no sources. A log that grows must not keep the reloader busy.
_INTERVAL_OF_OTHERS = 1.0
# Seconds in which the event of a change may come after the reloader has found the change.
_EVENT_LIMIT = 0.5


class FileObserver(file_changes.Observer):
    """Notices changes in threads, and makes a descriptor readable for the supervisor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed: set[str] = set()
        self._received_at = 0.0
        self._others_at = 0.0  # when the last message was sent
        self._is_message_due = False
        self._received, self._send = socket.socketpair()
        for end in (self._received, self._send):
            end.setblocking(False)
        self._source: Events | Polling | None = None
        self._described: tuple[list[str], list[str], list[str]] | None = None
        self._locks: list[str] = []
        self._why_polling: str | None = None

    @property
    def is_active(self) -> bool:
        """See file_changes.Observer."""
        return self._source is not None

    def watch(self, watched: Watched, file_folders: Iterable[str]) -> None:
        """See file_changes.Observer."""
        described = (sorted(watched.files), sorted(watched.folders), sorted(file_folders))
        with self._lock:
            if described == self._described:
                return
            self._described = described
        self._locks = git_locks(described[1])
        if self._why_polling is None:
            self._why_polling = _why_no_events(described[1])
            if self._why_polling is not None:
                _say_polling(self._why_polling)
        self._start()

    def _start(self) -> None:
        assert self._described is not None
        files, folders, file_folders = self._described
        before = self._source
        if self._why_polling is None:
            self._source = Events(folders, file_folders, self._receive, self._poll_instead)
        else:
            self._source = Polling(files, folders, self._receive)
        self._source.start()
        if before is not None:
            before.stop()

    def _poll_instead(self, reason: str) -> None:
        with self._lock:
            if self._why_polling is not None:
                return
            self._why_polling = reason
        _say_polling(reason)
        self._start()

    def _receive(self, changed: set[str]) -> None:
        """Act on the paths that a source reports, in its thread."""
        self._received_at = time.monotonic()
        while any(map(is_held, self._locks)):
            time.sleep(_LOCK_INTERVAL)
        with self._lock:
            self._changed |= changed
        delay = 0.0
        if changed and not any(map(is_source, changed)):
            delay = self._others_at + _INTERVAL_OF_OTHERS - time.monotonic()
        if delay <= 0:
            self._notify()
        elif not self._is_message_due:
            # In a thread of its own, because a source may change meanwhile.
            self._is_message_due = True
            timer = threading.Timer(delay, self._notify)
            timer.daemon = True
            timer.start()

    def _notify(self) -> None:
        self._others_at = time.monotonic()
        self._is_message_due = False
        try:
            self._send.send(b"!")
        except OSError:
            pass  # The supervisor ends, or has not yet looked at many earlier messages.

    def fileno(self) -> int | None:
        """See file_changes.Observer."""
        return self._received.fileno()

    def take(self) -> set[str]:
        """See file_changes.Observer."""
        try:
            self._received.recv(4096)
        except OSError:
            pass
        with self._lock:
            changed, self._changed = self._changed, set()
        return changed

    def missed(self) -> None:
        """See file_changes.Observer. The event may still come."""
        if self._why_polling is None:
            timer = threading.Timer(_EVENT_LIMIT, partial(self._check_event, time.monotonic()))
            timer.daemon = True
            timer.start()

    def _check_event(self, found_at: float) -> None:
        if self._received_at < found_at - _EVENT_LIMIT:
            self._poll_instead("a file changed, and the system sent no event")

    def close(self) -> None:
        """See file_changes.Observer."""
        if self._source is not None:
            self._source.stop()


def _why_no_events(folders: Iterable[str]) -> str | None:
    if not isinstance(_thread.start_new_thread, BuiltinFunctionType):
        # watchfiles blocks the thread in which it waits. Here that would be the whole process.
        return "gevent or eventlet replaces threads"
    try:
        load_watchfiles()
    except Unavailable as error:
        return str(error)
    mount = silent_mount(folders)
    return None if mount is None else f"the system sends no events for {mount}"


def _say_polling(reason: str) -> None:
    say(f"fast reload: it polls the files every {INTERVAL} s, because {reason}", WARNING)
