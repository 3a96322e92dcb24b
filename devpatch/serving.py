"""Who serves where: the start of a development server, what is checked before it, and which servers are guarded.

Integrations report a start with ``starting`` and the server object with ``guard``; features are asked
whether they can do their work there. A server that nobody reported is not ours, and stays untouched.
"""

from __future__ import annotations

import os
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import (
    arming,
    draining,
    features,
    first_start,
    integrations,
    process,
    requests,
    supervision,
    switches,
    worker,
)
from . import threads as threads_module
from .console import say, write
from .patching import Capability, Outcome, Patch, ledger

_CLAIM: ContextVar[bool] = ContextVar("devpatch_claim", default=False)
guarded: dict[int, Any] = {}  # by id, for a server need not be hashable
_told: set[str] = set()
_announced: set[str] = set()
_declined: set[str] = set()


@dataclass(frozen=True)
class Start:
    """A development server that is about to serve: its name in the table of servers, and how it does it."""

    server: str
    role: process.Role
    forks: bool = False
    threads: bool | None = None  # whether it would handle requests at once by itself, if that is known
    one_by_one: str | None = None  # why it must not


def starting(
    server: str,
    *,
    reloads: bool = False,
    forks: bool = False,
    threads: bool | None = None,
    one_by_one: str | None = None,
    obstacle: str | None = None,
) -> None:
    """Check, patch and announce, before ``server`` starts; called again in the same process it only checks.

    ``threads`` and ``one_by_one`` are as in ``Start``; ``obstacle`` says in what the server is not the one
    that the patches were made for.
    Raises SystemExit with ``ExitStatus.REFUSED`` for a bad value or a server that a feature can't guard,
    and nothing else.
    """
    settings = switches.read(os.environ)
    if settings.disabled:
        return
    if settings.problems:
        refuse(settings.problems)
    wanted = features.wanted(settings)
    try:
        start = Start(server, process.role(reloads), forks, threads, one_by_one)
        _start(start, settings, wanted, obstacle)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        refuse([feature.refusal(server, reason) for feature in wanted if feature.refuses])
        _say_once(f"no switch has an effect on {server}: {reason}")


def _start(
    start: Start, settings: switches.Settings, wanted: list[features.Feature], obstacle: str | None
) -> None:
    server = start.server
    if any(feature.guards for feature in wanted):
        for patch in integrations.serving_patches(server):
            ledger.await_module(patch)
    refuse([problem for feature in wanted if (problem := feature.unusable(settings))])
    active = []
    for feature in wanted:
        if feature.name in _declined:
            continue  # A command was told why; this is the server that it makes.
        reason = obstacle or missing(feature, server) or feature.objection(start, settings)
        if reason and feature.refuses:
            refuse([feature.refusal(server, reason)])
        elif reason:
            _declined.add(feature.name)
            _say_once(f"{feature.name} has no effect on {server}: {reason}")
        else:
            feature.activate(start, settings)
            active.append(feature)
    if start.role is not process.Role.WORKER:  # The worker starts again at every reload.
        for name in settings.unknown:
            _say_once(_about_unknown(name))
        for feature in active:
            if feature.name not in _announced:  # A command announces before the server that it makes.
                _announced.add(feature.name)
                say(feature.announcement(start, settings))


def missing(feature: features.Feature, server: str) -> str | None:
    """Return why a patch that ``feature`` needs on ``server`` could not be applied; None if all could so far."""
    for patch in integrations.patches_for(server):
        if patch.provides in feature.needs and ledger.outcomes.get(patch) is Outcome.FAILED:
            return ledger.reasons[patch]
    return None


def _late_failure(patch: Patch, reason: str) -> None:
    """A function through which servers start, or a module that arrived after the start, could not be patched."""
    if patch.provides is Capability.START:
        # Nobody would hear of the start, so the function itself has to refuse.
        arming.replace_entry(patch.target, patch.path, reason)
        return
    for feature in features.every():
        if patch.provides in feature.needs and not feature.guards and feature.name not in _declined:
            # It works without a development server, so there may be no start that would tell.
            _declined.add(feature.name)
            _say_once(feature.refusal(patch.target, reason))
    if not guarded:
        return  # The start will find it in the ledger.
    for feature in features.active():
        if patch.provides in feature.needs and feature.refuses:
            message = feature.refusal("this application", reason).replace("does not start", "stops")
            process.ending.request(process.ExitStatus.REFUSED, partial(say, message))
            process.ending.settle()


ledger.on_failure = _late_failure


def refuse(messages: list[str]) -> None:
    """Say why and end the process with ``ExitStatus.REFUSED``; without a message do nothing. Raises SystemExit."""
    if not messages:
        return
    for message in messages:
        say(message)
    if threading.current_thread() is not threading.main_thread():
        # Django serves from another thread when reloading; there SystemExit ends that thread alone.
        process.ending.request(process.ExitStatus.REFUSED, lambda: None)
        process.ending.settle()
    worker.report(worker.Report.ENDED)
    raise SystemExit(int(process.ExitStatus.REFUSED))


def _about_unknown(name: str) -> str:
    known = switches.nearest(name)
    hint = f"did you mean {known}?" if known else "`python -m devpatch` lists the switches"
    name = name if name.isprintable() else repr(name)
    return f"{name} is no switch of devpatch; {hint}"


def _say_once(message: str) -> None:
    if message not in _told:
        _told.add(message)
        say(message)


def claim() -> None:
    """Say that the next server which starts serving in this thread is the reported one."""
    _CLAIM.set(True)


def take_claim() -> bool:
    """Return whether the server at hand is the reported one; true once for a claim."""
    claimed = _CLAIM.get()
    _CLAIM.set(False)
    return claimed


def guard(server: Any) -> None:
    """Take ``server`` as a development server of ours, whose requests are watched and whose loop can be ended."""
    if is_guarded(server):
        return
    _tell_loaded()
    if not any(feature.guards for feature in features.active()):
        return
    service_actions, handle_error = server.service_actions, server.handle_error

    def leave_or_act() -> None:
        # The serving loop calls this after each request and every half second. From here the loop
        # ends in its own thread; shutdown() would only make it return.
        if process.ending.requested:
            process.ending.leave_if_requested()
        service_actions()

    def handle_error_without_us(*args: Any) -> None:
        # It prints a traceback, of which the first error's report needs no second.
        if not process.ending.requested:
            error = sys.exc_info()[1]
            if error is not None:
                requests.without_our_frames(error)
            handle_error(*args)

    # Put there with the request to end, for to be called at each turn of the loop would cost every request a little.
    process.ending.on_request(lambda: setattr(server, "service_actions", leave_or_act))
    server.handle_error = handle_error_without_us
    guarded[id(server)] = server
    ledger.record(lambda: _let_go(server))
    ledger.record(threads_module.apply(server))
    draining.apply(server)


def _tell_loaded() -> None:
    """The application is loaded: let features do what waits for that. Raises as ``Feature.loaded`` says."""
    for feature in features.active():
        if feature.start is None or feature.start.role is process.Role.SUPERVISOR:
            continue
        try:
            feature.loaded()
        except Exception as error:
            if worker.is_supervised():
                raise
            refuse([str(error)])


def reloading() -> None:
    """Before this worker ends for a reload: say so, and let requests come to their end."""
    if threading.current_thread() is threading.main_thread():
        worker.report(worker.Report.RELOADING)
        draining.drain()


def loading(main: Callable[..., Any]) -> Callable[..., None]:
    """Return what a reloader's worker runs as its thread instead of ``main``, which loads and serves the code.

    What ``main`` raises is reported and ends the worker: stock, it would wait with nobody serving.
    """

    def load(*args: Any, **kwargs: Any) -> None:
        try:
            main(*args, **kwargs)
        except BaseException as error:
            if not worker.failed(error, partial(_show_as_thread_does, error)):
                raise  # It ends on purpose.
            end_broken_worker()

    return load


def command_line_left(error: SystemExit) -> None:
    """The code, and not the command line, ended this process while a framework's command line ran."""
    supervision.report_exit(error)
    first_start.hold(error, from_command_line=True)


def _show_as_thread_does(error: BaseException) -> None:
    if isinstance(error, SystemExit):  # Which a thread keeps to itself.
        write("".join(traceback.format_exception(error)))
        return
    arguments = (type(error), error, error.__traceback__, threading.current_thread())
    threading.excepthook(threading.ExceptHookArgs(arguments))


def end_broken_worker() -> None:
    """End this worker, whose code could not be loaded; in the main thread by raising SystemExit."""
    process.ending.request(process.ExitStatus.FAILED, lambda: None)
    process.ending.settle()
    process.ending.leave_if_requested()


def _let_go(server: Any) -> None:
    guarded.pop(id(server), None)
    for name in ("service_actions", "handle_error"):
        vars(server).pop(name, None)


def connection_at_hand() -> tuple[Any, Any] | None:
    """Return the guarded server and the connection that this thread serves, if it does.

    It is read from the call stack, which is slow: for a handler that knows neither.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code in _HANDOVERS and is_guarded(frame.f_locals.get("self")):
            return frame.f_locals["self"], frame.f_locals.get("request")
        frame = frame.f_back
    return None


# Where socketserver hands a connection, its ``request``, to a handler.
_HANDOVERS = frozenset(
    function.__code__
    for function in (
        socketserver.BaseServer._handle_request_noblock,  # type: ignore[attr-defined]
        socketserver.ThreadingMixIn.process_request_thread,
    )
)


def is_guarded(server: Any) -> bool:
    """Whether ``server`` was given to ``guard``."""
    return id(server) in guarded


def caller() -> str:
    """Return the name of the module that called the patched function at hand."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in ("devpatch", "wrapt"):
            return name
        frame = frame.f_back
    return "__main__"
