"""How any thread ends this process, and the exit statuses.

A request's thread never ends the process itself. It requests the end, and the main thread ends the process by a
normal exit, so that atexit handlers run, coverage data is saved and log handlers are flushed. If the process still
runs after ``HOLD_LIMIT``, a watchdog thread runs the atexit handlers, flushes the streams and calls ``os._exit``
with the same status.

Limits: the watchdog needs ``atexit._run_exitfuncs``, which CPython and PyPy have but do not document.
"""

from __future__ import annotations

import atexit
import enum
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from .. import console

# The watchdog acts this many seconds after the end was requested, or after the last ``wait_for`` function
# returned. The README promises 2 s. The rest is for the atexit handlers and the reloader's parent.
HOLD_LIMIT = 1.7
# The main thread waits at most this many seconds for the thread that requested the end to finish its request.
RELEASE_LIMIT = 1.2
# A reload waits at most this many seconds until the response to an error is written.
EXPECTATION_LIMIT = 5.0


class ExitStatus(enum.IntEnum):
    """Exit statuses by name."""

    STOPPED = 0  # Ctrl-C or SIGTERM, as in both frameworks' reloaders
    EXAMINED = 0  # a trial of `devpatch doctor` has reported what it found
    FAILED = 1  # an unhandled request error, unless a switch names another status
    REFUSED = 2  # a bad value, or a server that can't be guarded; 2 as for a usage error
    RELOAD = 3  # makes Django's and Werkzeug's reloaders start the worker again; devpatch never exits with it
    CANNOT_RUN = 126  # the command of `devpatch run` is no program; 126 and 127 as in shells
    NOT_FOUND = 127  # the command of `devpatch run` does not exist
    INTERRUPTED = 130  # Ctrl-C ended `devpatch doctor`; 128 and the number of SIGINT, as in shells


# The path of a file that a process creates when it is about to end because of an error. `devpatch run` waits for it.
MARK = "_DEVPATCH_ENDS"


def _leave_mark() -> None:
    path = os.environ.get(MARK)
    if path:
        with suppress(OSError):
            open(path, "w").close()


def exit_status_of(code: object) -> tuple[int, str | None]:
    """Return the exit status of ``SystemExit(code)``, and the text that it prints on stderr, or None.

    Reloaders take 3 to mean "reload", so 3 becomes 1. Otherwise Python's rules apply: None is 0, an integer counts
    modulo 256, and any other object is printed and gives 1.
    """
    if code is None:
        return 0, None
    if not isinstance(code, int):
        return int(ExitStatus.FAILED), text_of(code, str)
    status = code & 0xFF if abs(code) < _LONG else 0xFF  # CPython's status if the code does not fit a C long
    return (int(ExitStatus.FAILED) if status == ExitStatus.RELOAD else status), None


_LONG = 2**63


def text_of(code: object, convert: Callable[[object], str]) -> str:
    """Return ``convert(code)``, or another text if that raises an exception."""
    try:
        return convert(code)
    except Exception:
        return object.__repr__(code)


class RequestedExit(SystemExit):
    """The SystemExit that ends the main thread. It records whether the interpreter has read its status.

    A program may catch SystemExit around its server. Then nobody reads the status, and an exit handler applies it.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status
        self.was_read = False

    @property
    def code(self) -> int:  # type: ignore[override]
        """The status, as the interpreter reads it."""
        self.was_read = True
        return self.status


class Ending:
    """The end of this process. Any thread requests it. The main thread or the watchdog carries it out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expectations: list[Callable[[], bool]] = []
        self._requested = threading.Event()
        self._released = threading.Event()
        self._report: Callable[[], None] | None = None
        self._handlers_lock = threading.Lock()  # held by the thread that runs the atexit handlers
        self._requested_at = 0.0
        self._exit: RequestedExit | None = None
        # Whether the process is about to end. A plain attribute, because it is read for each request.
        self.requested = False
        self._on_request: list[Callable[[], object]] = []
        self._waits: list[Callable[[], object]] = []
        self._waited_until = 0.0
        self.status = 0

    def on_request(self, act: Callable[[], object]) -> None:
        """Call ``act`` when the end is requested, or now if it already is. ``act`` may wake the main thread."""
        self._on_request.append(act)
        if self.requested:
            act()

    def wait_for(self, wait: Callable[[], object]) -> None:
        """Call ``wait`` before the process ends, in any thread. A second call must return quickly."""
        self._waits.append(wait)

    def expect_while(self, expected: Callable[[], bool]) -> None:
        """Delay a reload while ``expected`` returns True: the end will be requested shortly."""
        self._expectations.append(expected)

    def request(self, status: int, report: Callable[[], None]) -> bool:
        """Request the end with ``status``. The first call wins and returns True.

        ``report`` prints the reason. It is called once: when the requesting thread calls ``release``, after the
        framework has printed its own messages, or else just before the process ends.
        """
        with self._lock:
            if self.requested:
                return False
            self.status = status
            self._report = report
            self._requested_at = time.monotonic()
            atexit.register(self._normal_exit_begins)
            threading.Thread(target=self._watch, name="devpatch-exit-watchdog", daemon=True).start()
            self.requested = True
            self._requested.set()
        for act in self._on_request:
            act()
        _leave_mark()
        return True

    def release(self) -> None:
        """Let the process end. The requesting thread has written its response and drained its connection."""
        self._print_report()
        self._released.set()

    def exit_if_requested(self) -> None:
        """If the end was requested, raise SystemExit in the main thread. Do nothing in other threads."""
        if self.requested and self.is_main_thread():
            self.exit()

    def exit_instead_of_reload(self) -> None:
        """Before a reload, in the main thread: if the end is requested or expected, wait for it and raise SystemExit.

        If the end is not requested within ``EXPECTATION_LIMIT`` s, because a client reads slowly, let the reload go on.
        """
        is_expected = any(expected() for expected in self._expectations)
        if self.requested or (is_expected and self._requested.wait(EXPECTATION_LIMIT)):
            self.exit()

    def exit(self) -> NoReturn:
        """Wait at most ``RELEASE_LIMIT`` s for ``release``, then call the ``wait_for`` functions. Raises SystemExit."""
        self._released.wait(self._left_of(RELEASE_LIMIT))
        self._wait_for_others()
        self._print_report()
        self._exit = RequestedExit(self.status)
        raise self._exit

    def _left_of(self, limit: float) -> float:
        return max(0.0, max(self._requested_at, self._waited_until) + limit - time.monotonic())

    def _wait_for_others(self) -> None:
        for wait in self._waits:
            wait()
            self._waited_until = time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Replace ``time.sleep`` in a reloader's loop.

        Raises SystemExit in the main thread as soon as the end is requested.
        """
        if not self.is_main_thread():
            time.sleep(seconds)
        elif self._requested.wait(seconds):
            self.exit()

    def is_main_thread(self) -> bool:
        """Whether this is the thread in which a reloader's loop runs, and which may end the process."""
        return threading.current_thread() is threading.main_thread()

    def _print_report(self) -> None:
        with self._lock:
            report, self._report = self._report, None
        if report is not None:
            report()

    def _normal_exit_begins(self) -> None:
        # This handler was registered late, so it runs before the program's own ones. Without the lock, the watchdog
        # would run the handlers a second time if one of them takes long.
        if not self._handlers_lock.acquire(blocking=False):
            threading.Event().wait()  # The watchdog runs them and ends the process.
        elif self._exit is None or not self._exit.was_read:
            self._exit_with_status()  # The program caught SystemExit, or ended by itself.

    def _watch(self) -> None:
        self._wait_for_others()
        time.sleep(self._left_of(HOLD_LIMIT))
        if self._handlers_lock.acquire(blocking=False):
            self._exit_with_status()
        # Otherwise a normal exit is in progress.

    def _exit_with_status(self) -> NoReturn:
        atexit.unregister(self._normal_exit_begins)
        self._print_report()
        run_exit_handlers: Any = getattr(atexit, "_run_exitfuncs", lambda: None)
        try:
            run_exit_handlers()
        finally:
            console.flush()
            os._exit(self.status)


ending = Ending()
