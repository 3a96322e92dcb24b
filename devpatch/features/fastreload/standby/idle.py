"""In a worker that has answered its first request and is idle: report the facts, and prepare the worker's end."""

from __future__ import annotations

import threading
import time

from ....console import say
from ....lifecycle import requests, sessions
from ....lifecycle.requests import Event, Request
from . import freezing, keeping, recording

_SERVING_LIMIT = 1.0  # seconds to wait for the first answer; the collector is frozen then
_IDLE = 0.1  # seconds without a request
_IDLE_LIMIT = 5.0  # seconds to wait for that


class Idle:
    """Waits, in a thread, until the worker is idle."""

    def __init__(self) -> None:
        self._answered = threading.Event()
        self._requests = 0
        self._undos = [
            requests.listen(Event.BEGUN, self._begun),
            requests.listen(Event.WRITTEN, self._written),
        ]
        threading.Thread(target=self._run, name="devpatch-idle", daemon=True).start()

    def _begun(self, request: Request) -> None:
        self._requests += 1

    def _written(self, request: Request) -> None:
        self._answered.set()

    def _run(self) -> None:
        self._answered.wait(_SERVING_LIMIT)
        self._wait_until_idle()
        freezing.freeze()
        if recording.this is not None:
            self._answered.wait()
            self._wait_until_idle()
            self._report(recording.this)
        self._stop_listening()
        freezing.freeze(keeping.keep())

    def _report(self, recorded: recording.Recording) -> None:
        self._stop_listening()
        recorded.end()
        try:
            from . import facts

            sessions.worker.answered(facts.collect(recorded))
        except Exception as error:
            say(f"fast reload starts cold: {type(error).__name__}: {error}")

    def _wait_until_idle(self) -> None:
        deadline = time.monotonic() + _IDLE_LIMIT
        before = -1
        while before != self._requests and time.monotonic() < deadline:
            before = self._requests
            time.sleep(_IDLE)

    def _stop_listening(self) -> None:
        while self._undos:
            self._undos.pop()()
