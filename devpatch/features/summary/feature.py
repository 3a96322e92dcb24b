"""DEVPATCH_SUMMARY: what each request cost, under the server's line of the log and in the browser's own tools.

The header Server-Timing (https://www.w3.org/TR/server-timing/) is all that a response gets. A stream gets none,
because its cost is not known when its headers are sent.

Limits: the CPU time is that of the request's own thread, so that of an asynchronous view is missing. What a
response's close() does in Werkzeug's server comes after the line.
"""

from __future__ import annotations

from ... import switches
from ...lifecycle import loads, requests
from ...lifecycle.log_files import LogFile, path_of, why_not_writable
from ...lifecycle.starts import Start
from ...patching import Capability, ledger
from .. import Feature
from . import memory
from .line import Line, print_query
from .record import Record


class Summary(Feature):
    """See the module."""

    name = "summary"
    switch = switches.SUMMARY
    needs = frozenset({Capability.START, Capability.ERRORS, Capability.RESPONSES, Capability.COSTS})

    def __init__(self) -> None:
        self._parts: tuple[str, ...] = ()
        self._slow = 0
        self._ignored: tuple[str, ...] = ()
        self._resident = lambda: 0
        self._log: LogFile | None = None

    def summary(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.summary."""
        return f"summary ({', '.join(_strings(settings[self.switch]))})"

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        parts = ", ".join(_strings(settings[self.switch]))
        return f"{self.name} is on for {start.server}: what each request costs is printed under its line: {parts}"

    def unusable(self, settings: switches.Settings) -> str | None:
        """See Feature.unusable."""
        if not settings[switches.SUMMARY_LOG]:
            return None
        return why_not_writable(switches.SUMMARY_LOG.name, path_of(settings[switches.SUMMARY_LOG]))

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        self._parts = _strings(settings[self.switch])
        self._ignored = _strings(settings[switches.SUMMARY_IGNORE])
        slow = settings[switches.SUMMARY_SLOW]
        self._slow = slow if isinstance(slow, int) else self._slow
        if "memory" in self._parts:
            self._resident = memory.reader()
        if settings[switches.SUMMARY_LOG]:
            path = path_of(settings[switches.SUMMARY_LOG])
            loads.written.add(path)
            self._log = LogFile(path, self.name)
            ledger.record(requests.want_status())
        ledger.record(requests.listen(requests.Event.BEGUN, self._begin))
        ledger.record(requests.listen(requests.Event.WRITTEN, _note_written))
        ledger.record(requests.listen(requests.Event.LOGGED, self._end))

    def _begin(self, request: requests.Request) -> None:
        if self._ignored and str(request.environ.get("PATH_INFO")).startswith(self._ignored):
            return
        show_query = print_query if switches.EACH_QUERY in self._parts else None
        request.costs = Record(request, self._parts, self._resident, show_query)

    def _end(self, request: requests.Request) -> None:
        record, request.costs = request.costs, None
        if not isinstance(record, Record):
            return  # It was left out, or its line is printed.
        record.written()
        line = Line(record, self._parts, self._slow)
        line.print()
        if self._log is not None:
            self._log.append(line.data(request, self.start.server if self.start else None))


def _note_written(request: requests.Request) -> None:
    if isinstance(request.costs, Record):
        request.costs.written()


def _strings(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
