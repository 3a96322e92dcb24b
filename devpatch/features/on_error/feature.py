"""DEVPATCH_ON_ERROR: callables of the user get an ErrorEvent for each error.

For errors of requests, they are called in a separate thread, one event after the other, so a slow callable delays no
request. The end of the process waits for them, at most ``LIMIT`` seconds.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib
import importlib.util
import inspect
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from functools import reduce
from types import ModuleType
from typing import Any

from ... import console, switches
from ...lifecycle import requests
from ...lifecycle.endings import ending
from ...lifecycle.starts import Start
from ...lifecycle.tracebacks import hide_own_frames
from ...patching import Capability, ledger
from .. import Feature
from .event import ErrorEvent

LIMIT = 5.0  # seconds that the end of the process waits for the callables
Receiver = Callable[[ErrorEvent], object]


class OnError(Feature):
    """See the module."""

    name = "on-error"
    switch = switches.ON_ERROR
    needs = frozenset({Capability.START, Capability.ERRORS, Capability.RESPONSES})

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._calls = _Calls()

    def summary(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.summary."""
        return f"errors to {', '.join(_names_in(settings))}"

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        names = ", ".join(_names_in(settings))
        return (
            f"{self.name} is on for {start.server}: errors that nothing handles will go to {names}, "
            "once the application is loaded"
        )

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        self._names = _names_in(settings)
        ledger.record(requests.listen(requests.Event.ANSWERED, self._report))

    def loaded(self) -> None:
        """See Feature.loaded. Raises ImportError."""
        self._calls.receivers = {name: find(name) for name in self._names}

    def load_problem(self, settings: switches.Settings) -> str | None:
        """See Feature.load_problem."""
        try:
            for name in _names_in(settings):
                find(name)
        except ImportError as error:
            return f"{error}; name a function that the program can import, as package.module:function"
        return None

    def _report(self, request: requests.Request) -> None:
        if request.error is None:
            return
        event = ErrorEvent(
            kind="request",
            exception=request.error,
            time=datetime.fromtimestamp(request.failed_at, timezone.utc),
            method=request.method,
            url=request.url,
            server=self.start.server if self.start else None,
            framework=request.framework,
            environ=request.environ,
        )
        self._calls.put(event)

    def load_failed(self, error: BaseException) -> None:
        """See Feature.load_failed."""
        receivers: dict[str, Receiver] = {}
        for name in _names_in(switches.read(os.environ)):
            try:
                receivers[name] = find(name)
            except ImportError as failure:
                console.say(f"on-error could not report the failed load: {failure}")
        framework = next(iter(requests.frameworks), None)
        server = self.start.server if self.start else None
        event = ErrorEvent("load", error, datetime.now(timezone.utc), server=server, framework=framework)
        # In this thread, because the process is about to end.
        _call(receivers, event)


def _names_in(settings: switches.Settings) -> tuple[str, ...]:
    names = settings[switches.ON_ERROR]
    return names if isinstance(names, tuple) else ()


def find(name: str) -> Receiver:
    """Return the callable that ``name`` ("package.module:callable") refers to. Raises ImportError."""
    module_name, _, path = name.partition(":")
    try:
        found: Any = reduce(getattr, path.split("."), _module(module_name))
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        raise ImportError(f"{switches.ON_ERROR.name}={name!r} can't be imported: {what}") from error
    if not callable(found):
        raise ImportError(f"{switches.ON_ERROR.name}={name!r} can't be called")
    receiver: Receiver = found
    return receiver


def _module(name: str) -> ModuleType:
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if main is not None and file is not None and name not in sys.modules and "." not in name:
        # This is the main script. An import would run it a second time.
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and os.path.abspath(file) == spec.origin:
            return main
    return importlib.import_module(name)


class _Calls:
    """Calls the receivers in a thread, and waits for these calls."""

    def __init__(self) -> None:
        self.receivers: dict[str, Receiver] = {}
        self._events: queue.SimpleQueue[ErrorEvent] = queue.SimpleQueue()
        self._waiting = 0
        self._done = threading.Condition()
        self._began = False
        self._gave_up = False

    def put(self, event: ErrorEvent) -> None:
        """Call the receivers with ``event``, in the thread."""
        with self._done:
            self._waiting += 1
            self._events.put(event)
            if not self._began:
                self._began = True
                ending.wait_for(self.finish)
                atexit.register(self.finish)
                threading.Thread(target=self._run, name="devpatch-on-error", daemon=True).start()

    def _run(self) -> None:
        while True:
            event = self._events.get()
            _call(self.receivers, event)
            del event  # It refers to the exception, and so to the variables of all its frames.
            with self._done:
                self._waiting -= 1
                self._done.notify_all()

    def finish(self) -> None:
        """Wait until all calls are done, at most ``LIMIT`` s. After a time-out, do not wait again."""
        with self._done:
            if self._done.wait_for(lambda: not self._waiting or self._gave_up, LIMIT) or self._gave_up:
                return
            self._gave_up = True
            # Said before the lock is released: the other thread that waits may then end the process.
            names = ", ".join(self.receivers)
            console.say(
                f"on-error: {names} took longer than {LIMIT:.0f} s; the process ends without waiting for it"
            )


_reported: set[str] = set()


def _call(receivers: dict[str, Receiver], event: ErrorEvent) -> None:
    for name, receiver in receivers.items():
        try:
            result = receiver(event)
            if inspect.iscoroutine(result):
                asyncio.run(result)
        except BaseException as error:  # SystemExit too, which would silently end the thread.
            if name in _reported:
                continue
            _reported.add(name)
            hide_own_frames(error)
            console.write("".join(traceback.format_exception(error)))
            goes_on = (
                ""
                if event.kind == "load"
                else "; the server goes on, and does not repeat this until it restarts"
            )
            console.say(f"on-error: {name} raised the exception above{goes_on}")
