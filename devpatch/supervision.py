"""The parent of a reloader's workers: what integrations know of it, for a feature that takes its place.

Both frameworks start a worker, wait, and start the next one where its exit status says "reload". With a
``takeover`` in place the integration hands it a ``Session`` instead.
"""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from . import draining, worker
from .connections import frames
from .console import write
from .patching import Undo
from .process import ExitStatus, Leaving

if TYPE_CHECKING:
    import ssl

Address = list[Any]  # as an integration's own ``listen`` takes it, fit for JSON


@dataclass
class Session:
    """What a reloader's parent does: which command it starts with which environment, and where it listens."""

    command: Sequence[str]
    environ: Mapping[str, str]
    address: Address | None  # None where the framework hands its socket to the worker
    listen: Callable[[Address | None], socket.socket]  # may raise OSError
    before_start: Callable[[], object] = lambda: None  # what the framework prints before each worker
    tls: ssl.SSLContext | None = None
    extra_files: frozenset[str] = field(default=frozenset())
    exclude_patterns: frozenset[str] = field(default=frozenset())


# Runs the session and returns the exit status of its last worker.
_takeover: Callable[[Session], int] | None = None
_has_run = False


def take_over(run: Callable[[Session], int]) -> Undo:
    """Have ``run`` called instead of a reloader's own loop over its workers; returns what undoes it."""
    global _takeover
    _takeover = run
    return _give_back


def _give_back() -> None:
    global _takeover
    _takeover = None


def is_taken_over() -> bool:
    """Whether sessions are run by a feature."""
    return _takeover is not None


def run(session: Session) -> int:
    """Run ``session``; returns the status with which its process is to exit."""
    global _has_run
    assert _takeover is not None
    _has_run = True
    return _takeover(session)


def has_run() -> bool:
    """Whether a session was begun in this process, so that what comes after is no first start."""
    return _has_run


def run_worker(reloader: Callable[..., Any], module: ModuleType, *args: Any, **kwargs: Any) -> Any:
    """Run the reloader's function of ``module`` that holds a worker's main thread; report how it comes to its end."""
    try:
        result = reloader(*args, **kwargs)
    except SystemExit as error:
        if worker.is_relieved():
            draining.drain()
        # To read the code of our own exit would count as its arrival.
        if isinstance(error, Leaving) or (error.code != ExitStatus.RELOAD and _raised_in(error, module)):
            worker.report(worker.Report.ENDED)
        elif error.code != ExitStatus.RELOAD:
            report_exit(error)
        raise
    worker.report(worker.Report.ENDED)
    return result


def report_exit(error: SystemExit) -> None:
    """Report that the code of this worker called ``sys.exit``, and show where, which the interpreter does not."""
    if worker.failed(error, lambda: write("".join(traceback.format_exception(error)))):
        is_told = not isinstance(error.code, int | None)
    else:  # Django imports the URLconf in two threads, so the other one may have told of the same exit.
        is_told = worker.told_of(error)
    if is_told:
        error.code = int(ExitStatus.FAILED)  # As its text means, which the interpreter would print again.


def _raised_in(error: BaseException, module: ModuleType) -> bool:
    """Whether the module's own code raised ``error``, as its handler of SIGTERM does."""
    *_outer, innermost = frames(error.__traceback__)
    return bool(innermost.f_globals.get("__name__") == module.__name__)
