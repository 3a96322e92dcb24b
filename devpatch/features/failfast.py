"""DEVPATCH_FAILFAST: the server stops, with a status, on the first request error that nothing handled.

The response goes out first. Then the connection is shut down for writing, what the client still sends
is read for a moment, and the process ends by a normal exit.
"""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING

from .. import connections, console, requests, switches
from ..patching import Capability, ledger
from ..process import ending, exit_status_of
from . import Feature

if TYPE_CHECKING:
    from ..serving import Start


class FailFast(Feature):
    """See the module."""

    name = "fail-fast"
    switch = switches.FAILFAST
    needs = frozenset({Capability.START, Capability.ERRORS, Capability.RESPONSES, Capability.ENDING})
    # A guard that silently guards nothing is worse than none.
    refuses = True

    def __init__(self) -> None:
        self._status = 1
        self._first: requests.Request | None = None
        self._witness = console.Witness()
        self._failed_at: dict[requests.Request, int] = {}

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        if start.forks:
            return "a server that forks for each request can't be ended from one; use threads"
        return None

    def refusal(self, server: str, reason: str) -> str:
        """See Feature.refusal."""
        return (
            f"fail-fast can't guard {server}, so it does not start: {reason}; "
            f"unset {self.switch.name} to run it unguarded"
        )

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        status = settings[switches.FAILFAST_EXIT_CODE]
        return f"fail-fast is on for {start.server}: the first unhandled error stops it with exit status {status}"

    def begin(self, settings: switches.Settings) -> None:
        """See Feature.begin."""
        status = settings[switches.FAILFAST_EXIT_CODE]
        self._status = status if isinstance(status, int) else self._status
        ledger.record(requests.listen(requests.Event.FAILED, self._foresee))
        ledger.record(requests.listen(requests.Event.RESPONSE_SENT, self._stop))
        ledger.record(requests.listen(requests.Event.FINISHED, self._settle))
        ledger.record(requests.listen(requests.Event.READING_ON, self._hurry))

    def _foresee(self, request: requests.Request) -> None:
        # Only now, for it would cost each line of a healthy server's log a little.
        if not self._witness.attached:
            ledger.record(self._witness.attach())
        self._failed_at[request] = self._witness.count
        ending.foresee()

    def _stop(self, request: requests.Request) -> None:
        error = request.error
        if error is None:
            return
        status, text = exit_status_of(error.code) if isinstance(error, SystemExit) else (self._status, None)
        if ending.request(status, lambda: self._tell(request, error, status, text)):
            self._first = request
            connections.drain(request.connection)

    def _settle(self, request: requests.Request) -> None:
        if request is self._first:
            ending.settle()
        self._failed_at.pop(request, None)

    def _hurry(self, request: requests.Request) -> None:
        # The server answers an error only after it has read the client's bytes to their end, which
        # never comes where the client waits for the answer.
        timer = threading.Timer(connections.DRAIN_LIMIT, connections.end_reading, (request.connection,))
        timer.daemon = True
        timer.start()

    def _tell(self, request: requests.Request, error: BaseException, status: int, text: str | None) -> None:
        if isinstance(error, SystemExit):
            if text is not None:
                console.write(text + "\n")
            what = f"sys.exit({'' if error.code is None else _shown(error.code)})"
        else:
            requests.without_our_frames(error)
            if not self._witness.saw_traceback_of(error, self._failed_at.get(request, 0)):
                console.write("".join(traceback.format_exception(error)))
            what = "".join(traceback.format_exception_only(error)).strip()
        console.say(f"fail-fast: {request.title}: {what}")
        console.say(f"fail-fast: the server stops with exit status {status}")


def _shown(code: object) -> str:
    try:
        return repr(code)
    except Exception:
        return object.__repr__(code)


_the_one = FailFast()


def feature() -> FailFast:
    """Return the feature; there is one per process."""
    return _the_one
