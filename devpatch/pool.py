"""Threads that live on from one task to the next, and a place where idle connections wait without one.

A thread that had nothing to do for ``IDLE_LIMIT`` seconds ends; the latest to become idle works first,
so that the others can. All are daemon threads: none holds up a reload, Ctrl-C or an exit.
"""

from __future__ import annotations

import contextvars
import queue
import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

Task = Callable[[], object]

IDLE_LIMIT = 10.0  # seconds

# Called in each thread that ends: frameworks keep things per thread, such as database connections.
farewells: list[Task] = []


class Pool:
    """Runs tasks at once, each in a thread of its own, with at most ``bound`` of them, or without bound."""

    def __init__(self, bound: int | None) -> None:
        """Make an empty pool; ``bound`` is a number of threads, None for no bound."""
        self.bound = bound
        self._lock = threading.Lock()
        self._all_done = threading.Condition(self._lock)
        self._idle: list[_Worker] = []
        self._waiting: deque[Task] = deque()
        self._threads = 0  # those that count for the bound
        self._unfinished = 0

    def submit(self, task: Task) -> None:
        """Run ``task`` as soon as there is a thread for it; what it raises is reported as a thread's.

        Raises RuntimeError if the system has no thread left and the pool has none either.
        """
        with self._lock:
            if self._idle:
                self._idle.pop().box.put(task)
            elif (self.bound is not None and self._threads >= self.bound) or not self._start(task):
                self._waiting.append(task)
            self._unfinished += 1

    def _start(self, task: Task) -> bool:
        try:
            _Worker(self, task).start()
        except RuntimeError:
            if not self._threads:
                raise
            return False  # The system has none left now; one of ours takes it later.
        self._threads += 1
        return True

    def has_waiting(self) -> bool:
        """Whether a task waits for a thread."""
        return bool(self._waiting)

    def stop_counting_this_thread(self) -> None:
        """In a task that will do nothing but wait from now on: let another one begin in its place."""
        worker = threading.current_thread()
        if self.bound is None or not isinstance(worker, _Worker):
            return
        if worker.pool is not self or not worker.counts:
            return
        with self._lock:
            # This thread is there still, so a task for which none can be started is not lost.
            if self._waiting and self._start(self._waiting[0]):
                self._waiting.popleft()
            worker.counts = False
            self._threads -= 1

    def wait_until_done(self) -> None:
        """Return once no task is left."""
        with self._all_done:
            self._all_done.wait_for(lambda: not self._unfinished)

    def next_task(self, worker: _Worker) -> Task | None:
        """Return what ``worker`` is to do after its task; None if it is to end."""
        with self._lock:
            self._unfinished -= 1
            if not self._unfinished:
                self._all_done.notify_all()
            if not worker.counts:
                if self.bound is not None and self._threads >= self.bound:
                    return None
                worker.counts = True
                self._threads += 1
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(worker)
        try:
            return worker.box.get(timeout=IDLE_LIMIT)
        except queue.Empty:
            pass
        with self._lock:
            if worker in self._idle:
                self._idle.remove(worker)
                self._threads -= 1
                return None
        return worker.box.get()  # It was given one in the meantime.


class _Worker(threading.Thread):
    def __init__(self, pool: Pool, task: Task) -> None:
        super().__init__(name="devpatch-worker", daemon=True)
        self.box: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self.counts = True
        self.pool = pool
        self._task: Task | None = task

    def run(self) -> None:
        while self._task is not None:
            try:
                # An empty context, as in a new thread: what one request sets, the next must not see.
                contextvars.Context().run(self._task)
            except SystemExit:
                pass  # It ends no more than the request, as in a thread of the stock server.
            except BaseException:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self)))
            self._task = None  # It may hold much, and the next may be long in coming.
            self._task = self.pool.next_task(self)
        for say_farewell in tuple(farewells):
            try:
                say_farewell()
            except Exception:
                pass


class Parking:
    """Watches connections that nobody works on, and submits a task once the client sends or leaves."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._arriving: deque[tuple[Any, Task]] = deque()
        self._waker: socket.socket | None = None

    def add(self, connection: Any, task: Task) -> None:
        """Submit ``task`` when ``connection`` can be read."""
        with self._lock:
            self._arriving.append((connection, task))
            if self._waker is None:
                bell, self._waker = socket.socketpair()
                bell.setblocking(False)
                self._waker.setblocking(False)
                thread = threading.Thread(
                    target=self._watch, args=(bell,), name="devpatch-parking", daemon=True
                )
                thread.start()
        try:
            self._waker.send(b"!")
        except BlockingIOError:
            pass  # It has been woken often enough.

    def _watch(self, bell: socket.socket) -> None:
        selector = selectors.DefaultSelector()
        selector.register(bell, selectors.EVENT_READ)
        while True:
            for key, _events in selector.select():
                if key.fileobj is bell:
                    self._let_in(bell, selector)
                else:
                    selector.unregister(key.fileobj)
                    self._submit(key.data)

    def _let_in(self, bell: socket.socket, selector: selectors.BaseSelector) -> None:
        try:
            bell.recv(4096)
        except BlockingIOError:
            pass
        while self._arriving:
            connection, task = self._arriving.popleft()
            try:
                selector.register(connection, selectors.EVENT_READ, task)
            except (KeyError, OSError, ValueError):
                self._submit(task)  # It is closed already, which the task will find.

    def _submit(self, task: Task) -> None:
        while True:
            try:
                self._pool.submit(task)
            except RuntimeError:
                time.sleep(0.1)  # No thread is left in the system; one will be.
            else:
                return
