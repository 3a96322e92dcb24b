"""DEVPATCH_FAILFAST: the server stops, with a status, at the first unhandled request error.

The response is sent first. Then the connection is shut down for writing, the rest of the client's bytes is read
for a moment, and the process ends by a normal exit.
"""

from __future__ import annotations

import threading
import traceback

from .. import console, switches
from ..lifecycle import applications, connections, requests
from ..lifecycle.endings import ExitStatus, ending, exit_status_of, text_of
from ..lifecycle.starts import Start
from ..lifecycle.tracebacks import hide_own_frames
from ..patching import Capability, ledger
from . import Feature

_HINT = f"{switches.FAILFAST.name}={switches.STRICT} stops it at those too"


class FailFast(Feature):
    """See the module."""

    name = "fail-fast"
    switch = switches.FAILFAST
    needs = frozenset({Capability.START, Capability.ERRORS, Capability.RESPONSES, Capability.ENDING})
    # A guard that silently guards nothing is worse than none.
    refuses = True

    def __init__(self) -> None:
        self._status = int(ExitStatus.FAILED)
        self._is_strict = False
        self._has_hinted = False
        self._first: requests.Request | None = None
        self._tee = console.StderrTee()

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        if start.forks:
            return "a server that forks for each request can't be ended from one; use threads"
        if settings[self.switch] == switches.STRICT:
            return next((ledger.reasons[p] for p in ledger.reasons if p.provides is Capability.HANDLED), None)
        return None

    def advice(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.advice."""
        handler = applications.catch_all_of(start.application)
        if handler is None or settings[self.switch] == switches.STRICT:
            return None
        return f"fail-fast: {handler} handles every exception, so none may stop the server; {_HINT}"

    def refusal(self, server: str, reason: str) -> str:
        """See Feature.refusal."""
        return (
            f"fail-fast can't guard {server}, so it does not start: {reason}; "
            f"unset {self.switch.name} to run it unguarded"
        )

    def summary(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.summary."""
        strict = "strict, " if settings[self.switch] == switches.STRICT else ""
        return f"{self.name} ({strict}exit {settings[switches.FAILFAST_EXIT_CODE]})"

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        status = settings[switches.FAILFAST_EXIT_CODE]
        what = "error, handled or not," if settings[self.switch] == switches.STRICT else "unhandled error"
        return f"fail-fast is on for {start.server}: the first {what} stops it with exit status {status}"

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        status = settings[switches.FAILFAST_EXIT_CODE]
        self._status = status if isinstance(status, int) else self._status
        self._is_strict = settings[self.switch] == switches.STRICT
        ending.expect_while(requests.any_failing)
        ledger.record(requests.listen(requests.Event.HANDLED, self._note_or_hint))
        ledger.record(requests.listen(requests.Event.FAILED, self._watch_stderr))
        ledger.record(requests.listen(requests.Event.ANSWERED, self._request_end))
        ledger.record(requests.listen(requests.Event.ENDED, self._release_end))
        ledger.record(requests.listen(requests.Event.READS_BEFORE_ANSWER, self._limit_reading))

    def _note_or_hint(self, request: requests.Request) -> None:
        error = request.handled
        if error is None:
            return
        if self._is_strict:
            request.note(error, request.framework)
        elif not self._has_hinted:
            self._has_hinted = True
            console.say(
                f"fail-fast: {request.title}: a handler answered {type(error).__name__}; the server goes on; {_HINT}",
                console.WARNING,
            )

    def _watch_stderr(self, request: requests.Request) -> None:
        # Only now: it would slow down each line of a healthy server's log a little.
        if not self._tee.is_attached:
            ledger.record(self._tee.attach())

    def _request_end(self, request: requests.Request) -> None:
        error = request.error
        if error is None:
            return
        status, text = exit_status_of(error.code) if isinstance(error, SystemExit) else (self._status, None)
        if ending.request(status, lambda: self._report(request, error, status, text)):
            self._first = request
            connections.drain(request.connection)

    def _release_end(self, request: requests.Request) -> None:
        if request is self._first:
            ending.release()

    def _limit_reading(self, request: requests.Request) -> None:
        # The server reads until the client closes before it answers. A client that waits for the answer does not
        # close.
        timer = threading.Timer(connections.DRAIN_LIMIT, connections.end_reading, (request.connection,))
        timer.daemon = True
        timer.start()

    def _report(self, request: requests.Request, error: BaseException, status: int, text: str | None) -> None:
        if isinstance(error, SystemExit):
            if text is not None:
                console.write(text + "\n")
            what = f"sys.exit({'' if error.code is None else text_of(error.code, repr)})"
        else:
            hide_own_frames(error)
            if not self._tee.has_traceback_of(error, request.failed_at):
                console.write("".join(traceback.format_exception(error)))
            what = "".join(traceback.format_exception_only(error)).strip()
        console.say(f"fail-fast: {request.title}: {what}", console.ERROR)
        console.say(f"fail-fast: the server stops with exit status {status}", console.ERROR)
