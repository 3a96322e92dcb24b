"""DEVPATCH_THREADED: requests run concurrently, with or without a maximum number of threads, or one at a time.

The switch overrides the options of the command.
"""

from __future__ import annotations

import socketserver
from collections.abc import Callable
from functools import partial
from typing import Any

from ... import switches
from ...lifecycle import requests, starts, threads
from ...lifecycle.starts import Start
from ...patching import Capability, ledger
from .. import Feature
from .pool import Pool
from .pooled_server import PooledServer
from .response_writer import ResponseWriter


class Threaded(Feature):
    """See the module."""

    name = "threaded"
    switch = switches.THREADED
    needs = frozenset({Capability.START, Capability.THREADS})

    def __init__(self) -> None:
        self._concurrent = True
        self._bound: int | None = None  # the maximum number of threads; None: no maximum
        self._pools: list[Pool] = []

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        if start.forks:
            return "it forks for each request"
        if start.one_at_a_time and settings[self.switch] != switches.ONE_AT_A_TIME:
            return f"{start.one_at_a_time}, so it handles one request at a time"
        return None

    def summary(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.summary."""
        value = settings[self.switch]
        names = {switches.ONE_AT_A_TIME: "one request at a time", switches.CONCURRENT: "threads"}
        line = names.get(str(value), f"at most {value} threads")
        own = _overridden(start, value)
        return f"{line} (overrides the command: {own})" if own else line

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        value = settings[self.switch]
        names = {switches.ONE_AT_A_TIME: "one at a time", switches.CONCURRENT: "concurrently"}
        how = names.get(str(value), f"concurrently, at most {value} of them")
        line = f"{self.switch.name} for {start.server}: requests are handled {how}"
        own = _overridden(start, value)
        return f"{line}; this overrides the command, which would handle them {own}" if own else line

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        value = settings[self.switch]
        self._concurrent = value != switches.ONE_AT_A_TIME
        self._bound = value if isinstance(value, int) else None
        ledger.record(threads.decide(self._concurrent, self._wait_until_done))
        ledger.record(starts.prepare(self._change))
        ledger.record(requests.listen(requests.Event.BEGUN, _hold))
        ledger.record(requests.listen(requests.Event.WRITTEN, _release))
        if self._bound is not None:
            ledger.record(requests.listen(requests.Event.ONLY_READS, self._start_another_thread))

    def _change(self, server: Any) -> Callable[[], object]:
        """Make ``server`` handle requests as the switch says. Return a function that undoes it."""
        if self._concurrent:
            pool = Pool(self._bound, threads.cleanups)
            self._pools.append(pool)
            return PooledServer(server, pool).undo
        if not isinstance(server, socketserver.ThreadingMixIn):
            return lambda: None
        handle_here: Any = socketserver.BaseServer.process_request
        vars(server)["process_request"] = partial(handle_here, server)
        return lambda: vars(server).pop("process_request", None)

    def _wait_until_done(self) -> None:
        for pool in self._pools:
            pool.wait_until_done()

    def _start_another_thread(self, request: requests.Request) -> None:
        for pool in self._pools:
            pool.stop_counting_this_thread()


def _overridden(start: Start, value: object) -> str | None:
    """Return how the command by itself would handle requests, or None if that is the same or not known."""
    if start.concurrent is None or start.concurrent == (value != switches.ONE_AT_A_TIME):
        return None
    return "concurrently" if start.concurrent else "one at a time"


def _hold(request: requests.Request) -> None:
    if isinstance(request.writer, ResponseWriter):
        request.writer.hold()


def _release(request: requests.Request) -> None:
    if isinstance(request.writer, ResponseWriter):
        try:
            request.writer.release()
        except (OSError, ValueError):
            pass  # The client has left.
