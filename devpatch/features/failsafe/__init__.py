"""DEVPATCH_FAILSAFE: broken code never takes the reloading server down; the failure stands in for it.

The reloader's parent becomes a supervisor (see there); a worker reports to it, and ends its requests
before a reload. Without a reloader there is no parent, and so no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ... import draining, supervision, switches
from ...patching import Capability, ledger
from ...process import Role
from .. import Feature

if TYPE_CHECKING:
    from ...serving import Start


class FailSafe(Feature):
    """See the module."""

    name = "fail-safe"
    switch = switches.FAILSAFE
    needs = frozenset({Capability.START, Capability.WORKERS})
    needs_reloader = True

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        return "it runs without a reloader" if start.role is Role.PLAIN else None

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        return f"{self.name} is on for {start.server}: broken code does not end it, the next change starts it again"

    def begin(self, settings: switches.Settings) -> None:
        """See Feature.begin."""
        ledger.record(supervision.take_over(_run))
        ledger.record(draining.begin())


def _run(session: supervision.Session) -> int:
    from . import supervisor  # Here, for a worker has no use for it, and is started often.

    return supervisor.run(session)


_the_one = FailSafe()


def feature() -> FailSafe:
    """Return the feature; there is one per process."""
    return _the_one
