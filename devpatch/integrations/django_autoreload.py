"""django.utils.autoreload: the reloader's parent, which starts workers, and its loop in the worker's main thread.

Django serves from a daemon thread, and the loop sleeps in the main thread. SystemExit in the serving thread would
not end the loop. So the loop's ``time.sleep`` raises SystemExit when the end of the process is requested.

Limits: the Watchman reloader waits in its client, for up to five seconds. Then the watchdog of
``devpatch.lifecycle.endings`` ends the process.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any

from ..lifecycle import file_changes, prompts, sessions
from ..lifecycle.endings import ending
from ..lifecycle.failures import is_own
from ..lifecycle.file_changes import Watched
from ..patching import Capability, Expect, Replace, Wrap, module_proxy

_MODULE = "django.utils.autoreload"
_CLOCK_LAG = 0.01  # seconds by which the times of files may lag behind the clock
_ATTEMPTS = 3  # to list the modules


def _sleep(seconds: float) -> None:
    sessions.worker.watches()  # The loop looks at the files, and then it sleeps.
    file_changes.sleep(seconds)


def _make_time(module: ModuleType) -> ModuleType:
    return module_proxy(module, sleep=_sleep)


# The time before the first look at the files, in seconds since the epoch. None after it, and if there is no supervisor.
_first_look_due: float | None = None


def _observe_tick(wrapped: Callable[..., Any], reloader: Any, args: Any, kwargs: Any) -> Any:
    file_changes.reloader_runs(
        lambda: Watched(
            files=[str(path) for path in reloader.watched_files(include_globs=False)],
            folders=[str(path) for path in reloader.directory_globs],
        )
    )
    file_changes.before_first_look()
    return wrapped(*args, **kwargs)


def _observe_snapshot(wrapped: Callable[..., Any], reloader: Any, args: Any, kwargs: Any) -> Any:
    """Let a first look that came late record the times that it should have seen.

    So the next look finds a template that was saved meanwhile. Times in the future are left alone: they would look
    like a change in each worker.
    """
    global _first_look_due
    due, _first_look_due = _first_look_due, None
    found = wrapped(*args, **kwargs)
    return found if due is None else _seen_at(due, found)


def _seen_at(due: float, found: Iterable[tuple[Any, float]]) -> Iterator[tuple[Any, float]]:
    for file, modified in found:
        # The clock is read for each file, because a file may be saved during the look.
        yield file, due if due < modified <= time.time() else modified


def _observe_reload(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    prompts.wait()
    ending.exit_instead_of_reload()
    try:
        return wrapped(*args, **kwargs)
    except SystemExit:
        sessions.reloading()
        raise


def _observe_run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    if not sessions.worker.is_supervised:
        return wrapped(*args, **kwargs)
    global _first_look_due
    _first_look_due = time.time() - _CLOCK_LAG  # before the code reads a template
    main, *rest = args
    return sessions.run_worker(wrapped, sys.modules[_MODULE], sessions.loading(main), *rest, **kwargs)


class _OwnFirst(frozenset[Any]):
    """Django's set of files. The project's own come first, so that a change there is found first."""

    _order: tuple[Any, ...]

    def __new__(cls, files: Iterable[Any]) -> _OwnFirst:
        made = super().__new__(cls, files)
        made._order = tuple(sorted(files, key=lambda path: not is_own(str(path))))
        return made

    def __iter__(self) -> Iterator[Any]:
        return iter(self._order)


_own_first = lru_cache(maxsize=1)(_OwnFirst)  # Django keeps its set too, until a module is imported.


def _observe_modules(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    """Put own files first. Try again after a KeyError: a failing import in the serving thread removes its module.

    Otherwise this error would end the main thread, and might be reported instead of the failed import.
    """
    if not sessions.worker.is_supervised:
        return wrapped(*args, **kwargs)
    for _ in range(_ATTEMPTS):
        try:
            return _own_first(wrapped(*args, **kwargs))
        except KeyError:
            pass
    return wrapped(*args, **kwargs)


def _observe_restart(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    endpoint = sessions.endpoint
    if endpoint.address is None or endpoint.listen is None or not sessions.runners:
        return wrapped(*args, **kwargs)
    autoreload: Any = sys.modules[_MODULE]
    return sessions.run(
        sessions.Session(
            command=[str(part) for part in autoreload.get_child_arguments()],
            environ={**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"},
            address=endpoint.address(),
            listen=endpoint.listen,
        )
    )


PATCHES = (
    Wrap(_MODULE, "trigger_reload", Capability.ENDING, _observe_reload, ("filename",)),
    Replace(_MODULE, "time", Capability.ENDING, _make_time, ("sleep",)),
    # The Watchman reloader observes files by itself.
    Wrap(_MODULE, "StatReloader.tick", Capability.FILE_CHANGES, _observe_tick, ("reloader",)),
    Wrap(_MODULE, "StatReloader.snapshot_files", Capability.FILE_CHANGES, _observe_snapshot, ("reloader",)),
    Expect(_MODULE, "StatReloader.watched_files", Capability.FILE_CHANGES, ("reloader", "include_globs")),
    Wrap(_MODULE, "run_with_reloader", Capability.WORKERS, _observe_run, ("main_func",)),
    Wrap(_MODULE, "iter_all_python_module_files", Capability.WORKERS, _observe_modules),
    Wrap(_MODULE, "restart_with_reloader", Capability.WORKERS, _observe_restart),
)
