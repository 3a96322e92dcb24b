"""werkzeug._reloader: the reloader's parent, which starts workers, and its loops in the worker's main thread."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..lifecycle import file_changes, prompts, sessions
from ..lifecycle.endings import ExitStatus, RequestedExit, ending
from ..lifecycle.file_changes import Watched
from ..patching import Capability, Expect, Replace, Wrap, module_proxy

_MODULE = "werkzeug._reloader"


def _make_time(time: ModuleType) -> ModuleType:
    return module_proxy(time, sleep=file_changes.sleep)


def _observe_run(wrapped: Callable[..., Any], reloader: Any, args: Any, kwargs: Any) -> Any:
    # Since Werkzeug 3.1, the watchdog loop waits for an event instead of sleeping. When the event is set, the loop
    # exits with the status that means "reload". The other loop, and both loops of older versions, sleep.
    wake = getattr(getattr(reloader, "should_reload", None), "set", None)
    if wake is not None:
        ending.on_request(wake)
    if isinstance(reloader, _stat_loop()):
        # The watchdog loop observes files by itself.
        file_changes.reloader_runs(lambda: Watched(files=list(reloader.mtimes), folders=()))
    try:
        return wrapped(*args, **kwargs)
    except SystemExit as error:
        # RequestedExit comes first: it would count reading ``code`` as a read by the interpreter.
        if not isinstance(error, RequestedExit) and error.code == ExitStatus.RELOAD:
            prompts.wait()
            ending.exit_instead_of_reload()
            sessions.reloading()
        raise


def _stat_loop() -> Any:
    return getattr(sys.modules[_MODULE], "StatReloaderLoop", ())


def _observe_run_with_reloader(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    if not sessions.worker.is_supervised:
        return wrapped(*args, **kwargs)
    serve, *rest = args

    def main() -> None:
        sessions.worker.serves()
        sessions.worker.watches()  # The reloader has looked at the files before it calls this function.
        serve()

    return sessions.run_worker(wrapped, sys.modules[_MODULE], sessions.loading(main), *rest, **kwargs)


def _observe_restart(wrapped: Callable[..., Any], reloader: Any, args: Any, kwargs: Any) -> Any:
    if not sessions.runners:
        return wrapped(*args, **kwargs)
    module: Any = sys.modules[_MODULE]
    return sessions.run(
        sessions.Session(
            command=module._get_args_for_reloading(),
            environ={**os.environ, "WERKZEUG_RUN_MAIN": "true"},
            address=None,
            listen=_listen,
            before_start=lambda: module._log("info", f" * Restarting with {reloader.name}"),
            tls=sessions.endpoint.tls,
            extra_files=frozenset(reloader.extra_files),
            exclude_patterns=frozenset(reloader.exclude_patterns),
        )
    )


def _listen(address: sessions.Address | None) -> socket.socket:
    # run_simple has created the socket, and passes it to the worker.
    return socket.socket(fileno=socket.dup(int(os.environ["WERKZEUG_SERVER_FD"])))


PATCHES = (
    Replace(_MODULE, "time", Capability.ENDING, _make_time, ("sleep",)),
    Wrap(_MODULE, "ReloaderLoop.run", Capability.ENDING, _observe_run, ("reloader",)),
    Wrap(_MODULE, "WatchdogReloaderLoop.run", Capability.ENDING, _observe_run, ("reloader",)),
    Expect(_MODULE, "StatReloaderLoop.run_step", Capability.FILE_CHANGES, ("reloader",)),
    Wrap(_MODULE, "run_with_reloader", Capability.WORKERS, _observe_run_with_reloader, ("main_func",)),
    Wrap(_MODULE, "ReloaderLoop.restart_with_reloader", Capability.WORKERS, _observe_restart, ("reloader",)),
    Expect(_MODULE, "_get_args_for_reloading", Capability.WORKERS, ()),
    Expect(_MODULE, "_log", Capability.WORKERS, ("type", "message")),
)
