"""A reloader's session: the parent starts one worker after the other, and each worker loads and serves the code.

Both frameworks start a worker, wait, and start the next one if the exit status means "reload". A feature may run
the session in the parent, and receive the reports of the worker. Without it, the framework's own code runs.
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
from .file_changes import Watched
from .tracebacks import module_that_raised

if TYPE_CHECKING:
    import ssl

Address = list[Any]  # JSON data that the integration's ``listen`` function takes
Listen = Callable[["Address | None"], socket.socket]


class Role(enum.Enum):
    """What this process is to a reloader."""

    SUPERVISOR = "supervisor"  # the parent, which starts workers
    WORKER = "worker"  # the child, which serves
    PLAIN = "plain"  # no reloader


# Django's and Werkzeug's reloaders set these in the worker's environment. They are read only once, because
# runserver_plus --noreload sets Werkzeug's variable later, in its own process.
_RELOADER_VARIABLES = ("RUN_MAIN", "WERKZEUG_RUN_MAIN")
_is_worker = any(os.environ.get(name) == "true" for name in _RELOADER_VARIABLES)


def role(reloads: bool) -> Role:
    """Return the role of this process. ``reloads``: whether its command uses a reloader."""
    if _is_worker:
        return Role.WORKER
    return Role.SUPERVISOR if reloads else Role.PLAIN


# The parent.


@dataclass
class Session:
    """How a reloader's parent starts its workers, and where it listens."""

    command: Sequence[str]
    environ: Mapping[str, str]
    address: Address | None  # None if the framework itself passes its socket to the worker
    listen: Listen  # may raise OSError
    before_start: Callable[[], object] = lambda: None  # prints the framework's message before each worker
    tls: ssl.SSLContext | None = None
    extra_files: frozenset[str] = field(default=frozenset())
    exclude_patterns: frozenset[str] = field(default=frozenset())


@dataclass
class Endpoint:
    """How the server of this command listens, as far as it is known before the session starts."""

    address: Callable[[], Address] | None = None
    listen: Listen | None = None
    tls: ssl.SSLContext | None = None


endpoint = Endpoint()

# A feature's function, if there is one, replaces a reloader's own loop over its workers. It returns the exit status
# of the last worker.
runners: list[Callable[[Session], int]] = []
has_run = False  # whether this process has run a session; then it is past its first start


def run(session: Session) -> int:
    """Run ``session`` and return the exit status for this process."""
    global has_run
    has_run = True
    return runners[0](session)


_MARK = "_DEVPATCH_PARENT"


def mark_worker() -> None:
    """Tell the workers, by a variable, that their parent was patched and has said so."""
    os.environ[_MARK] = "1"


# The worker.

# Whether the reloader's parent has called ``mark_worker``. Removed, so that a child process is not mistaken.
has_patched_parent = os.environ.pop(_MARK, None) is not None


class Worker:
    """The worker's side of a session. This one has no supervisor. A feature replaces it with ``set_worker``."""

    is_supervised = False
    is_serving = False  # whether the code is loaded and the server accepts connections
    has_failed = False  # whether it has reported that the code could not be loaded

    def serves(self) -> None:
        """Report that the code is loaded and the server accepts connections."""

    def watches(self) -> None:
        """Report that the reloader has seen each file once. A second call does nothing."""

    def load_failed(self, error: BaseException, show: Callable[[], object] = lambda: None) -> bool:
        """Report that ``error`` prevented the code from being loaded, then call ``show``, which prints it.

        Return False if that is not reported: it has no supervisor, or has already reported why it ends.
        """
        return False

    def reloads(self) -> None:
        """Report that the worker ends because a file changed. Then wait for the requests in progress."""

    def answered(self, facts: Mapping[str, Any]) -> None:
        """Report that it has answered a request and is idle, with JSON data for ``standbys.Preparation.learn``."""

    def reports_watched(self, watched: Watched) -> None:
        """Report what its reloader watches, so that the supervisor can observe it."""

    def wait_for_message(self, seconds: float) -> bool:
        """Wait at most ``seconds`` for the supervisor's message that something changed. Return whether it came.

        Returns at once if the end of the process is requested.
        """
        ending.sleep(seconds)
        return False

    def ends(self) -> None:
        """Report that it ends on purpose, and that the session ends too."""

    def prompts(self, is_open: bool) -> None:
        """Report that a prompt or a debugger has stopped the program, or that it goes on."""

    def reload_waits(self) -> None:
        """Report that a reload waits for an open prompt or debugger."""

    def moves(self, address: Address) -> bool:
        """Return whether ``address`` is not the supervisor's, because the code changed it. If so, report that."""
        return False

    def adopt_listener(self) -> socket.socket | None:
        """Return the supervisor's listening socket the first time, or None."""
        return None

    def has_reported(self, error: SystemExit) -> bool:
        """Whether it has reported an exit with the same text. Two threads may run the same code."""
        return False


worker = Worker()


def _end_worker() -> None:
    worker.ends()


ending.on_request(_end_worker)


def set_worker(supervised: Worker) -> None:
    """Pass what this worker reports to ``supervised``."""
    global worker
    worker = supervised


def reloading() -> None:
    """Report that this worker ends for a reload, and wait for its requests. Only the main thread does that."""
    if threading.current_thread() is threading.main_thread():
        worker.reloads()


def loading(main: Callable[..., Any]) -> Callable[..., None]:
    """Return a replacement for ``main``, which a reloader's worker runs in a thread to load and serve the code.

    An exception of ``main`` is reported and ends the worker. With the framework's own code, the worker would go on
    and serve nothing.
    """

    def load(*args: Any, **kwargs: Any) -> None:
        try:
            main(*args, **kwargs)
        except BaseException as error:
            if not worker.load_failed(error, partial(_show_as_thread_does, error)):
                raise  # The worker has already reported why it ends.
            end_broken_worker()

    return load


def _show_as_thread_does(error: BaseException) -> None:
    if isinstance(error, SystemExit):  # threading.excepthook does not print it.
        write("".join(traceback.format_exception(error)))
        return
    arguments = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(arguments))


def end_broken_worker() -> None:
    """End this worker, whose code could not be loaded. Raises SystemExit in the main thread."""
    ending.request(ExitStatus.FAILED, lambda: None)
    ending.release()
    ending.exit_if_requested()


def command_exited(error: SystemExit, packages: tuple[str, ...]) -> None:
    """Act on a ``sys.exit`` of the code, while a framework's command line ran it. May raise SystemExit.

    Nothing is done for an exit of one of the command line's own ``packages``: it reports a usage error.
    """
    if module_that_raised(error).partition(".")[0] not in packages:
        report_exit(error)
        loads.listener.exited(error)


def run_worker(reloader: Callable[..., Any], module: ModuleType, *args: Any, **kwargs: Any) -> Any:
    """Run ``reloader``, a function of ``module``, in a worker's main thread, and report how it ends."""
    try:
        result = reloader(*args, **kwargs)
    except SystemExit as error:
        # RequestedExit comes first: it would count reading ``code`` as a read by the interpreter.
        if isinstance(error, RequestedExit) or (
            error.code != ExitStatus.RELOAD and module_that_raised(error) == module.__name__
        ):
            worker.ends()  # For example, the module's SIGTERM handler raised it.
        elif error.code != ExitStatus.RELOAD:
            report_exit(error)
        raise
    worker.ends()
    return result


def report_exit(error: SystemExit) -> None:
    """Report that this worker's code called ``sys.exit``, and print the traceback, which the interpreter omits."""
    if worker.load_failed(error, lambda: write("".join(traceback.format_exception(error)))):
        is_shown = not isinstance(error.code, int | None)
    else:  # Django imports the URLconf in two threads. The other one may have reported the same exit.
        is_shown = worker.has_reported(error)
    if is_shown:
        error.code = int(ExitStatus.FAILED)  # Otherwise the interpreter would print the text again.
