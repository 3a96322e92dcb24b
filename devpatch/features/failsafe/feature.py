"""DEVPATCH_FAILSAFE: the reloader's parent becomes a supervisor, and a worker drains its requests before a reload.

Without a reloader, the switch has no effect.
"""

from __future__ import annotations

from ... import switches
from ...lifecycle import sessions, starts
from ...lifecycle.sessions import Role
from ...lifecycle.starts import Start
from ...patching import Capability, ledger
from .. import NO_RELOADER, Feature, too_late
from .worker import draining


class FailSafe(Feature):
    """See the module."""

    name = "fail-safe"
    switch = switches.FAILSAFE
    needs = frozenset({Capability.START, Capability.WORKERS})
    needs_reloader = True

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        if start.role is Role.PLAIN:
            return NO_RELOADER
        if start.role is Role.WORKER and not (sessions.worker.is_supervised or sessions.has_patched_parent):
            return too_late(settings.readings[self.switch.name].implied_by or self.switch)
        return None

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        return f"{self.name} is on for {start.server}: broken code does not end it, the next change starts it again"

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        sessions.runners.append(_run)
        ledger.record(lambda: sessions.runners.remove(_run))
        ledger.record(starts.prepare(draining.prepare))


def _run(session: sessions.Session) -> int:
    # Imported here, because workers start often and do not need it.
    from .supervisor import session as supervisor

    return supervisor.run(session)
