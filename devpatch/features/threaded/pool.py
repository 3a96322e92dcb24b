"""A pool of reusable threads.

A thread that has had no task for ``IDLE_LIMIT`` seconds ends. The thread that became idle last gets the next task, so
that the others can end. All are daemon threads, so they do not delay a reload, Ctrl-C or an exit.
"""

from __future__ import annotations

import contextvars
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from ...lifecycle import threads

Task = Callable[[], object]

IDLE_LIMIT = 10.0  # seconds


class Pool:
    """Runs tasks concurrently, in threads."""

    def __init__(self, bound: int | None, cleanups: Sequence[Task]) -> None:
        """Create an empty pool with at most ``bound`` threads, or without a maximum for None.

        Each thread calls ``cleanups`` before it ends.
        """
        self.bound = bound
        self.cleanups = cleanups
        self._lock = threading.Lock()
        self._all_done = threading.Condition(self._lock)
        self._idle: list[_Thread] = []
        self._waiting: deque[Task] = deque()
        self._threads = 0  # those that count towards the bound
        self._unfinished = 0

    def submit(self, task: Task) -> None:
        """Run ``task`` as soon as a thread is free. Its exceptions go to ``threading.excepthook``.

        Raises RuntimeError if the pool has no thread and the system can't start one.
        """
        with self._lock:
            if self._idle:
                self._idle.pop().box.put(task)
            elif (self.bound is not None and self._threads >= self.bound) or not self._start(task):
                self._waiting.append(partial(_run_after_wait, task, time.perf_counter()))
            self._unfinished += 1

    def _start(self, task: Task) -> bool:
        try:
            _Thread(self, task).start()
        except RuntimeError:
            if not self._threads:
                raise
            return False  # A thread of the pool takes the task later.
        self._threads += 1
        return True

    def has_waiting(self) -> bool:
        """Whether a task waits for a thread."""
        return bool(self._waiting)

    def stop_counting_this_thread(self) -> None:
        """Let another task begin in the place of this thread's task, which only waits from now on."""
        thread = threading.current_thread()
        if self.bound is None or not isinstance(thread, _Thread):
            return
        if thread.pool is not self or not thread.counts:
            return
        with self._lock:
            # If no thread can be started, this thread takes the task later.
            if self._waiting and self._start(self._waiting[0]):
                self._waiting.popleft()
            thread.counts = False
            self._threads -= 1

    def wait_until_done(self) -> None:
        """Wait until all tasks are done."""
        with self._all_done:
            self._all_done.wait_for(lambda: not self._unfinished)

    def next_task(self, thread: _Thread) -> Task | None:
        """Return the next task of ``thread``, or None if the thread must end."""
        with self._lock:
            self._unfinished -= 1
            if not self._unfinished:
                self._all_done.notify_all()
            if not thread.counts:
                if self.bound is not None and self._threads >= self.bound:
                    return None
                thread.counts = True
                self._threads += 1
            if self._waiting:
                return self._waiting.popleft()
            self._idle.append(thread)
        try:
            return thread.box.get(timeout=IDLE_LIMIT)
        except queue.Empty:
            pass
        with self._lock:
            if thread in self._idle:
                self._idle.remove(thread)
                self._threads -= 1
                return None
        return thread.box.get()  # The thread has just got a task.


def _run_after_wait(task: Task, since: float) -> None:
    """Run ``task``, which has waited for a thread since the time ``since`` of ``time.perf_counter``."""
    threads.note_wait(time.perf_counter() - since)
    task()


class _Thread(threading.Thread):
    def __init__(self, pool: Pool, task: Task) -> None:
        super().__init__(name="devpatch-pool", daemon=True)
        self.box: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self.counts = True
        self.pool = pool
        self._task: Task | None = task

    def run(self) -> None:
        while self._task is not None:
            try:
                # An empty context, as in a new thread: a request must not see the context variables of another one.
                contextvars.Context().run(self._task)
            except SystemExit:
                pass  # It ends only the request, as in a thread of the server's own.
            except BaseException:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), self)))
            self._task = None  # Free the task's memory while the thread waits for the next one.
            self._task = self.pool.next_task(self)
        for clean_up in tuple(self.pool.cleanups):
            try:
                clean_up()
            except Exception:
                pass
