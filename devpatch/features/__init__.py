"""The features: one file or one folder for each switch. A feature knows no framework.

It names the capabilities that it needs. When it is activated, it registers its listeners with
``devpatch.lifecycle``, and its answers to what integrations ask there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..lifecycle.loads import End
    from ..lifecycle.starts import Start
    from ..patching import Capability
    from ..switches import Settings, Switch

# The objection of the features that need the reloader. The start of the server adds how to turn it on. What follows
# a semicolon in an objection is what to do.
NO_RELOADER = "it runs without a reloader"


def too_late(switch: Switch) -> str:
    """Return the objection to a switch that must be set before Python starts, and was set after it."""
    origin = ""
    for file in (".env", ".flaskenv"):  # ``flask run`` reads both.
        try:
            with open(file, encoding="utf-8", errors="replace") as content:
                if switch.name in content.read():
                    origin = f", from {file}"
        except OSError:
            continue
    return f"{switch.name} came too late{origin}: set it before Python starts"


class Feature:
    """The methods that the assembly and the start of a server call on a feature."""

    name: str
    switch: Switch
    needs: frozenset[Capability]
    refuses = False  # whether the server must refuse to start if the feature can't work
    needs_reloader = False  # whether it has no effect on servers without a reloader
    watches_requests = True  # whether it needs the patches that watch the server's requests
    start: Start | None = None  # the first start at which it is active

    def objection(self, start: Start, settings: Settings) -> str | None:
        """Return why the feature can't work at this start, even if all patches fit, or None."""
        return None

    def refusal(self, server: str, reason: str) -> str:
        """Return the line that says why the feature has no effect, or why the server does not start."""
        return f"{self.name} has no effect on {server}: {reason}"

    def summary(self, start: Start, settings: Settings) -> str:
        """Return the feature's part of the line at the start, such as "fail-fast (exit 1)"."""
        return self.name

    def announcement(self, start: Start, settings: Settings) -> str:
        """Return the line that explains what the feature does. Only DEVPATCH_VERBOSE shows it."""
        raise NotImplementedError

    def advice(self, start: Start, settings: Settings) -> str | None:
        """Return a line about something in the application that limits the feature, or None."""
        return None

    def unusable(self, settings: Settings) -> str | None:
        """Return why the switch's value can't be used, or None. With a reason, no server starts."""
        return None

    def load_problem(self, settings: Settings) -> str | None:
        """Return why ``loaded`` would fail, or None. Only ``devpatch doctor`` asks, in a trial."""
        return None

    def activate(self, settings: Settings) -> None:
        """Register listeners. Called once per process."""

    def loaded(self) -> None:
        """Act on an application that is loaded and about to be served.

        In a worker of a fail-safe session, an exception counts as a failed load. Otherwise it prevents the start.
        """

    def load_failed(self, error: BaseException) -> None:
        """Act on ``error``, which prevented the code from being loaded. Called in the process that loads it."""

    def worker_ended(self, end: End) -> None:
        """Act on the end of a worker that could not report its error. Called in its supervisor."""
