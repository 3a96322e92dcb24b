"""A session of a reloader: its parent starts workers, one after the other, and each worker loads and serves the code.

Both frameworks start a worker, wait, and start the next one if its exit status means "reload". A feature
may run the session in the parent, and take the worker's reports. Without one, both do nothing.
"""

from __future__ import annotations

import enum
import os
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..console import write
from . import loads
from .endings import ExitStatus, RequestedExit, ending
from .exceptions import module_that_raised

if TYPE_CHECKING:
    import ssl

Address = list[Any]  # as an integration's own ``listen`` takes it, fit for JSON
Listen = Callable[["Address | None"], socket.socket]


class Role(enum.Enum):
    """What this process is to a reloader."""

    SUPERVISOR = "supervisor"  # the parent, which starts workers
    WORKER = "worker"  # the child, which serves
    PLAIN = "plain"  # no reloader


# Django's and Werkzeug's reloaders set these in the worker's environment. They are read once, at the start,
# because runserver_plus --noreload sets Werkzeug's later in its own process.
_RELOADER_VARIABLES = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")
_is_worker = any(os.environ.get(name) == "true" for name in _RELOADER_VARIABLES)


def role(reloads: bool) -> Role:
    """Return this process's role. ``reloads``: whether its command uses a reloader."""
    if _is_worker:
        return Role.WORKER
    return Role.SUPERVISOR if reloads else Role.PLAIN


# The parent.


@dataclass
class Session:
    """What a reloader's parent does: the command that it starts, with which environment, and where it listens."""

    command: Sequence[str]
    environ: Mapping[str, str]
    address: Address | None  # None where the framework passes its socket to the worker
    listen: Listen  # may raise OSError
    before_start: Callable[[], object] = lambda: None  # prints what the framework prints before each worker
    tls: ssl.SSLContext | None = None
    extra_files: frozenset[str] = field(default=frozenset())
    exclude_patterns: frozenset[str] = field(default=frozenset())


@dataclass
class Listener:
    """How the server of the present command is to listen, as far as that is known before its session."""

    address: Callable[[], Address] | None = None
    listen: Listen | None = None
    tls: ssl.SSLContext | None = None


listener = Listener()

_run: Callable[[Session], int] | None = None
_has_run = False


def take_over(run: Callable[[Session], int]) -> Callable[[], None]:
    """Have ``run`` called instead of a reloader's own loop over its workers. Return a function that undoes it.

    ``run`` returns the exit status of the last worker.
    """
    global _run
    _run = run
    return _give_back


def _give_back() -> None:
    global _run
    _run = None


def is_taken_over() -> bool:
    """Whether a feature runs the sessions."""
    return _run is not None


def run(session: Session) -> int:
    """Run ``session``. Return the status with which its process is to exit."""
    global _has_run
    assert _run is not None
    _has_run = True
    return _run(session)


def has_run() -> bool:
    """Whether a session was begun in this process, so that this is no first start any more."""
    return _has_run


# The worker.


class Worker:
    """The worker's side of a session. This one has no supervisor. A feature sets its own by ``set_worker``."""

    is_supervised = False
    has_failed = False  # whether it has reported that its code could not be loaded
    is_replaced = False  # whether the supervisor ends it to start the next one

    def serves(self) -> None:
        """Report that the code is loaded, the reloader watches and the server accepts connections."""

    def load_failed(self, error: BaseException, show: Callable[[], object] = lambda: None) -> bool:
        """Report that ``error`` prevented the code from being loaded, then call ``show``, which prints it.

        Return False where it has reported before why it ends, or has no supervisor.
        """
        return False

    def reloads(self) -> None:
        """Report that a file changed and that the worker ends for it. Then let requests come to their end."""

    def ends(self) -> None:
        """Report that it ends on purpose, and the session with it."""

    def moves(self, address: Address) -> bool:
        """Report if the code now wants another ``address`` than the supervisor's. Return whether it does."""
        return False

    def adopt_listener(self) -> socket.socket | None:
        """Return the supervisor's listening socket, once. None if there is none."""
        return None

    def drain(self) -> None:
        """Accept no more connections, and let requests come to their end."""

    def has_reported(self, error: SystemExit) -> bool:
        """Whether it has reported an exit with the same text. Two of its threads may run the same code."""
        return False


worker = Worker()


def _end_worker() -> None:
    worker.ends()


ending.on_request(_end_worker)


def set_worker(supervised: Worker) -> None:
    """Have ``supervised`` hear what this worker reports."""
    global worker
    worker = supervised


def reloading() -> None:
    """Act before this worker ends for a reload: report it, and let requests come to their end."""
    if threading.current_thread() is threading.main_thread():
        worker.reloads()


def loading(main: Callable[..., Any]) -> Callable[..., None]:
    """Return what a reloader's worker runs in its thread instead of ``main``, which loads and serves the code.

    An exception of ``main`` is reported and ends the worker. Stock, the worker would wait and nobody would serve.
    """

    def load(*args: Any, **kwargs: Any) -> None:
        try:
            main(*args, **kwargs)
        except BaseException as error:
            if not worker.load_failed(error, partial(_show_as_thread_does, error)):
                raise  # It ends on purpose.
            end_broken_worker()

    return load


def _show_as_thread_does(error: BaseException) -> None:
    if isinstance(error, SystemExit):  # A thread does not print it.
        write("".join(traceback.format_exception(error)))
        return
    arguments = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(arguments))


def end_broken_worker() -> None:
    """End this worker, whose code could not be loaded. In the main thread it raises SystemExit."""
    ending.request(ExitStatus.FAILED, lambda: None)
    ending.release()
    ending.exit_if_requested()


def command_line_left(error: SystemExit) -> None:
    """Act on the code's, and not the command line's, ``sys.exit`` while a framework's command line ran."""
    report_exit(error)
    loads.listener.exited(error)


def run_worker(reloader: Callable[..., Any], module: ModuleType, *args: Any, **kwargs: Any) -> Any:
    """Run ``reloader``, a function of ``module`` that holds a worker's main thread, and report how it ends."""
    try:
        result = reloader(*args, **kwargs)
    except SystemExit as error:
        if worker.is_replaced:
            worker.drain()
        # Our own exit comes first: to read its code would count as the interpreter's reading.
        if isinstance(error, RequestedExit) or (
            error.code != ExitStatus.RELOAD and module_that_raised(error) == module.__name__
        ):
            worker.ends()  # The module's handler of SIGTERM raises it, for example.
        elif error.code != ExitStatus.RELOAD:
            report_exit(error)
        raise
    worker.ends()
    return result


def report_exit(error: SystemExit) -> None:
    """Report that the code of this worker called ``sys.exit``, and show where. The interpreter does not show that."""
    if worker.load_failed(error, lambda: write("".join(traceback.format_exception(error)))):
        is_shown = not isinstance(error.code, int | None)
    else:  # Django imports the URLconf in two threads, so the other one may have reported the same exit.
        is_shown = worker.has_reported(error)
    if is_shown:
        error.code = int(ExitStatus.FAILED)  # The status of a text, which the interpreter would print again.
