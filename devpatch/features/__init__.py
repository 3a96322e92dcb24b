"""The features: one file or one folder for each switch. A feature knows no framework.

It names the capabilities that it needs. When it is activated, it registers with ``devpatch.lifecycle`` what it
wants to hear, and its answers to what integrations ask there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..lifecycle.loads import End
    from ..lifecycle.starts import Start
    from ..patching import Capability
    from ..switches import Settings, Switch


class Feature:
    """What the assembly asks a feature, and what it tells it."""

    name: str
    switch: Switch
    needs: frozenset[Capability]
    refuses = False  # whether a server must not start without what the feature needs
    needs_reloader = False  # whether it has no effect on servers without a reloader
    watches_requests = True  # whether the server's requests must be watched
    start: Start | None = None  # the first start that it is active on

    def objection(self, start: Start, settings: Settings) -> str | None:
        """Return why it can't work on this start although all patches fit, or None."""
        return None

    def refusal(self, server: str, reason: str) -> str:
        """Return the line that says why it has no effect, or why the server does not start."""
        return f"{self.name} has no effect on {server}: {reason}"

    def announcement(self, start: Start, settings: Settings) -> str:
        """Return the line that says that it is on."""
        raise NotImplementedError

    def unusable(self, settings: Settings) -> str | None:
        """Return why its value can't be used, so that no server starts, or None."""
        return None

    def activate(self, settings: Settings) -> None:
        """Begin to listen. It is called once per process."""

    def loaded(self) -> None:
        """Act on an application that is loaded and about to be served.

        An exception from here counts as a failed load where fail-safe is on. Elsewhere the server does not start.
        """

    def load_failed(self, error: BaseException) -> None:
        """Act on ``error``, which prevented the code from being loaded. Called in the process that loads it."""

    def worker_ended(self, end: End) -> None:
        """Act on the end of a worker that could not report its error. Called in its supervisor."""
