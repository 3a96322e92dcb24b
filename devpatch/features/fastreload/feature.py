"""DEVPATCH_FASTRELOAD: the reloader acts on a change immediately, and the next worker's libraries are imported by then.

It works together with fail-safe, which runs the supervisor and the workers. The two meet in
``devpatch.lifecycle.file_changes`` and ``devpatch.lifecycle.standbys``.
"""

from __future__ import annotations

from ... import switches
from ...lifecycle import file_changes, requests, sessions, standbys
from ...lifecycle.sessions import Role
from ...lifecycle.starts import Start
from ...patching import Capability, ledger
from .. import NO_RELOADER, Feature, too_late


class FastReload(Feature):
    """See the module."""

    name = "fast reload"
    switch = switches.FASTRELOAD
    needs = frozenset({Capability.START, Capability.WORKERS, Capability.FILE_CHANGES})
    needs_reloader = True

    def __init__(self) -> None:
        self._is_loaded = False

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """See Feature.objection."""
        if start.role is Role.PLAIN:
            return NO_RELOADER
        if start.role is Role.WORKER and not sessions.worker.is_supervised:
            if not sessions.has_patched_parent:
                return too_late(self.switch)
            return "fail-safe does not supervise it"
        return None

    def summary(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.summary."""
        part = " by events" if settings[self.switch] == switches.EVENTS else ""
        implies = settings.readings[switches.FAILSAFE.name].implied_by is self.switch
        return f"{self.name}{part}" + (" (it turns fail-safe on)" if implies else "")

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        how = "a change reloads it immediately"
        if settings[self.switch] != switches.EVENTS:
            how += ", and a standby imports the libraries ahead"
        return f"{self.name} is on for {start.server}, which turns fail-safe on too: {how}"

    def activate(self, settings: switches.Settings) -> None:
        """See Feature.activate."""
        assert self.start is not None
        if self.start.role is Role.WORKER:
            from .file_changes.pauses import Pauses

            pauses = Pauses()
            ledger.record(file_changes.replace_pauses(pauses))
            ledger.record(requests.listen(requests.Event.WRITTEN, pauses.note_answer))
            return
        from .file_changes.observer import FileObserver
        from .standby.planning import Planning, Unprepared

        ledger.record(file_changes.replace_observer(FileObserver()))
        if settings[self.switch] == switches.EVENTS:
            ledger.record(standbys.replace_preparation(Unprepared()))
        else:
            ledger.record(standbys.replace_preparation(Planning(bool(settings[switches.VERBOSE]))))

    def loaded(self) -> None:
        """See Feature.loaded."""
        from .standby.idle import Idle

        if not self._is_loaded:
            self._is_loaded = True
            Idle()
