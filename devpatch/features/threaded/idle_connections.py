"""The connections of idle clients wait in a selector, and not in a thread each."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from .pool import Pool, Task


class IdleConnections:
    """Watches connections. When a client sends something or leaves, it submits a task to the pool."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._arriving: deque[tuple[Any, Task]] = deque()
        self._waker: socket.socket | None = None

    def add(self, connection: Any, task: Task) -> None:
        """Submit ``task`` when ``connection`` is readable."""
        with self._lock:
            self._arriving.append((connection, task))
            if self._waker is None:
                woken, self._waker = socket.socketpair()
                woken.setblocking(False)
                self._waker.setblocking(False)
                threading.Thread(
                    target=self._watch, args=(woken,), name="devpatch-idle-connections", daemon=True
                ).start()
        with suppress(BlockingIOError):  # The thread is about to wake up anyway.
            self._waker.send(b"!")

    def _watch(self, woken: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is woken:
                    self._register(woken, selector)
                else:
                    selector.unregister(key.fileobj)
                    self._submit(key.data)

    def _register(self, woken: socket.socket, selector: selectors.BaseSelector) -> None:
        with suppress(BlockingIOError):
            woken.recv(4096)
        while self._arriving:
            connection, task = self._arriving.popleft()
            try:
                selector.register(connection, selectors.EVENT_READ, task)
            except (KeyError, OSError, ValueError):
                self._submit(task)  # The connection is closed. The task notices that.

    def _submit(self, task: Task) -> None:
        while True:
            try:
                self._pool.submit(task)
                return
            except RuntimeError:
                time.sleep(0.1)  # The system can't start a thread at the moment.
