"""How long the worker's reloader sleeps: until the supervisor sends a message, or for a long time."""

from __future__ import annotations

from ....lifecycle import file_changes, sessions

NET = 10.0  # seconds between two looks that nobody asked for


class Sleeping:
    """Replaces the reloader's sleep. Until the supervisor's first message, the reloader sleeps as it always did."""

    def __init__(self) -> None:
        self._is_notified = False
        self._reported: object = None

    def sleep(self, seconds: float) -> None:
        """Wait for the supervisor's message. ``seconds`` is what the reloader wants to sleep."""
        self._report()
        if sessions.worker.wait_for_message(NET if self._is_notified else seconds):
            self._is_notified = True

    def _report(self) -> None:
        """Report to the supervisor what the reloader watches, if that is new."""
        watched = file_changes.watched()
        described = (frozenset(watched.files), frozenset(watched.folders))
        if described != self._reported:
            self._reported = described
            sessions.worker.reports_watched(watched)
