"""This process: its role beside a reloader, its exit statuses by name, and how any thread ends it.

A request's thread never ends the process itself. It asks for the end, and the main thread leaves by a
normal exit, so that atexit handlers run, coverage data is saved and log handlers are flushed. Where
something still holds the interpreter after ``HOLD_LIMIT``, a watchdog runs the atexit handlers,
flushes the streams and leaves with ``os._exit`` and the same status.

Limits: the watchdog needs ``atexit._run_exitfuncs``, which CPython and PyPy have and no document names.
"""

from __future__ import annotations

import atexit
import enum
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import worker

# The process is gone this many seconds after the request to end it, whatever holds it: the promise
# is 2 s, and the rest is for the atexit handlers and the reloader's parent.
HOLD_LIMIT = 1.7
# The main thread waits this many seconds for the thread that asked to finish its request.
SETTLE_LIMIT = 1.2
# A reload waits this many seconds for a response to an error to be out.
FORESIGHT_LIMIT = 5.0


class ExitStatus(enum.IntEnum):
    """The statuses that devpatch gives to a process."""

    STOPPED = 0  # by somebody, with Ctrl-C or SIGTERM, as both frameworks' reloaders end
    FAILED = 1  # an unhandled request error, unless a switch names another status
    REFUSED = 2  # a bad value, or a server that can't be guarded, as for a command line that is wrong
    RELOAD = 3  # Django's and Werkzeug's reloaders start the worker again on this one; never given


class Role(enum.Enum):
    """What this process is to a reloader."""

    SUPERVISOR = "supervisor"  # the parent, which starts workers
    WORKER = "worker"  # the child, which serves
    PLAIN = "plain"  # no reloader


# Django's and Werkzeug's reloaders set these in the worker's environment. Read once, at the start:
# runserver_plus --noreload sets Werkzeug's later, in its own process.
_RELOADER_VARIABLES = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")
_is_worker = any(os.environ.get(name) == "true" for name in _RELOADER_VARIABLES)


def role(reloads: bool) -> Role:
    """Return this process's role, given whether the command in it uses a reloader."""
    if _is_worker:
        return Role.WORKER
    return Role.SUPERVISOR if reloads else Role.PLAIN


def exit_status_of(code: object) -> tuple[int, str | None]:
    """Return the status, and the text for stderr if any, that ``SystemExit(code)`` stands for.

    Reloaders take 3 to mean "reload", so it becomes 1. Python's rules for the rest: None is 0, an
    integer counts modulo 256, anything else is printed and gives 1.
    """
    if code is None:
        return 0, None
    if not isinstance(code, int):
        return int(ExitStatus.FAILED), _text_of(code)
    status = code & 0xFF if abs(code) < _LONG else 0xFF  # as CPython does where it does not fit a C long
    return (int(ExitStatus.FAILED) if status == ExitStatus.RELOAD else status), None


_LONG = 2**63


def _text_of(code: object) -> str:
    try:
        return str(code)
    except Exception:
        return object.__repr__(code)


class Leaving(SystemExit):
    """The SystemExit that ends the main thread; it knows whether the interpreter has asked for its status.

    A program may catch SystemExit around its server and then end with a status of 0.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
        self.arrived = False

    @property
    def code(self) -> int:  # type: ignore[override]
        """The status, as the interpreter reads it."""
        self.arrived = True
        return self.status


class Ending:
    """The one end of this process: asked for by any thread, carried out by the main thread or the watchdog."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._foreseen = False
        self._requested = threading.Event()
        self._settled = threading.Event()
        self._farewell: Callable[[], None] | None = None
        self._owner = threading.Lock()  # held by whoever runs the atexit handlers
        self._requested_at = 0.0
        self._leaving: Leaving | None = None
        self.requested = (
            False  # whether the process is about to end; a plain attribute, read for each request
        )
        self._wakers: list[Callable[[], object]] = []
        self._waits: list[Callable[[], object]] = []
        self._waited_until = 0.0
        self.status = 0

    def on_request(self, wake: Callable[[], object]) -> None:
        """Have ``wake`` called when the end is asked for, at once where it was, to rouse a main thread elsewhere."""
        self._wakers.append(wake)
        if self.requested:
            wake()

    def wait_for(self, wait: Callable[[], object]) -> None:
        """Have ``wait`` called before the process ends, in any thread; it must return, and quickly if called again."""
        self._waits.append(wait)

    def foresee(self) -> None:
        """Say that the end will be asked for shortly, so that a reload does not come before it."""
        self._foreseen = True

    def request(self, status: int, farewell: Callable[[], None]) -> bool:
        """Ask for the end with ``status``; the first call wins and gets True.

        ``farewell`` prints the reason. It is called once: when the asking thread has settled, so that
        what its framework prints stands before it, or else at the last moment.
        """
        with self._lock:
            if self.requested:
                return False
            self.status = status
            self._farewell = farewell
            self._requested_at = time.monotonic()
            atexit.register(self._normal_exit_begins)
            threading.Thread(target=self._watch, name="devpatch-exit-watchdog", daemon=True).start()
            self.requested = True
            self._requested.set()
        worker.report(worker.Report.ENDED)
        for wake in self._wakers:
            wake()
        return True

    def settle(self) -> None:
        """Say that the thread that asked is done: its response is out, its connection drained."""
        self._say_farewell()
        self._settled.set()

    def leave_if_requested(self) -> None:
        """In the main thread, once the end was asked for: raise SystemExit. Elsewhere: nothing."""
        if self.requested and threading.current_thread() is threading.main_thread():
            self.leave()

    def leave_instead_of_reload(self) -> None:
        """In the main thread, about to reload: if the end is foreseen, wait for it and raise SystemExit.

        Where no end comes within ``FORESIGHT_LIMIT`` s (a client reads the response slowly), the reload goes on.
        """
        if self.requested or (self._foreseen and self._requested.wait(FORESIGHT_LIMIT)):
            self.leave()

    def leave(self) -> NoReturn:
        """Wait until the asking thread has settled, at most ``SETTLE_LIMIT`` s, and raise SystemExit."""
        self._settled.wait(self._left_of(SETTLE_LIMIT))
        self._wait_for_others()
        self._say_farewell()
        self._leaving = Leaving(self.status)
        raise self._leaving

    def _left_of(self, limit: float) -> float:
        return max(0.0, max(self._requested_at, self._waited_until) + limit - time.monotonic())

    def _wait_for_others(self) -> None:
        for wait in self._waits:
            wait()
            self._waited_until = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Stand in for ``time.sleep`` in a reloader's loop: leaves at once when the end is asked for."""
        if threading.current_thread() is not threading.main_thread():
            time.sleep(seconds)
        elif self._requested.wait(seconds):
            self.leave()

    def _say_farewell(self) -> None:
        with self._lock:
            farewell, self._farewell = self._farewell, None
        if farewell is not None:
            farewell()

    def _normal_exit_begins(self) -> None:
        # Registered last, so the first of the atexit handlers to run. Without the lock they would
        # run a second time, in the watchdog, when one of them takes long.
        if not self._owner.acquire(blocking=False):
            threading.Event().wait()  # The watchdog runs them and ends the process.
        elif self._leaving is None or not self._leaving.arrived:
            self._exit_with_status()  # The program caught SystemExit, or came to its end by itself.

    def _watch(self) -> None:
        self._wait_for_others()
        time.sleep(self._left_of(HOLD_LIMIT))
        if self._owner.acquire(blocking=False):
            self._exit_with_status()
        # Else a normal exit is under way.

    def _exit_with_status(self) -> NoReturn:
        atexit.unregister(self._normal_exit_begins)
        self._say_farewell()
        run_exit_handlers: Any = getattr(atexit, "_run_exitfuncs", None)
        try:
            if run_exit_handlers is not None:
                run_exit_handlers()
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    pass
            os._exit(self.status)


ending = Ending()
