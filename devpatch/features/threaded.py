"""DEVPATCH_THREADED: requests are handled at once, at most so many at once, or one by one.

The switch wins over what the command says. The work is done by devpatch.threads and the pool.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import requests, switches, threads
from ..patching import Capability, ledger
from ..streams import ResponseWriter
from . import Feature

if TYPE_CHECKING:
    from ..serving import Start


class Threaded(Feature):
    """See the module."""

    name = "threaded"
    switch = switches.THREADED
    needs = frozenset({Capability.START, Capability.THREADS})

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        if start.forks:
            return "it forks for each request"
        if start.one_by_one and settings[self.switch] != switches.ONE_BY_ONE:
            return f"{start.one_by_one}, so it handles one request at a time"
        return None

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        value = settings[self.switch]
        if value == switches.ONE_BY_ONE:
            how = "requests are handled one at a time"
        elif value == switches.AT_ONCE:
            how = "requests are handled at once"
        else:
            how = f"at most {value} requests are handled at once"
        line = f"{self.name} is on for {start.server}: {how}"
        if start.threads is None or start.threads == (value != switches.ONE_BY_ONE):
            return line
        own = "at once" if start.threads else "one by one"
        return f"{line}; {self.switch.name} wins over the command, which would handle them {own}"

    def begin(self, settings: switches.Settings) -> None:
        """See Feature.begin."""
        value = settings[self.switch]
        at_once = value != switches.ONE_BY_ONE
        ledger.record(threads.choose(at_once, value if isinstance(value, int) else None))
        ledger.record(requests.listen(requests.Event.BEGUN, _hold))
        ledger.record(requests.listen(requests.Event.WRITTEN, _release))
        ledger.record(requests.listen(requests.Event.ONLY_WAITS, _make_room))


def _hold(request: requests.Request) -> None:
    if isinstance(request.writer, ResponseWriter):
        request.writer.hold()


def _release(request: requests.Request) -> None:
    if isinstance(request.writer, ResponseWriter):
        try:
            request.writer.release()
        except (OSError, ValueError):
            pass  # The client has left.


def _make_room(request: requests.Request) -> None:
    threads.stop_counting_this_thread()


_the_one = Threaded()


def feature() -> Threaded:
    """Return the feature; there is one per process."""
    return _the_one
