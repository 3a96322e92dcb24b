"""The features, one file each. A feature knows no framework: it names the capabilities that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import switches
from ..patching import Capability

if TYPE_CHECKING:
    from ..loads import End
    from ..serving import Start


class Feature:
    """What the start of a server asks of a feature, and what a feature may want to hear."""

    name: str
    switch: switches.Switch
    needs: frozenset[Capability]
    refuses = False  # whether a server that lacks a need must not start
    needs_reloader = False  # whether it has no effect on servers that have none
    guards = True  # whether it needs a server's requests to be watched
    start: Start | None = None  # the first one that it is active on

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """Return why it can't work on this start, beyond the patches."""
        return None

    def refusal(self, server: str, reason: str) -> str:
        """Return the line that says why it has no effect, or, where it ``refuses``, why the server does not start."""
        return f"{self.name} has no effect on {server}: {reason}"

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """Return the line that says that it is on."""
        raise NotImplementedError

    def unusable(self, settings: switches.Settings) -> str | None:
        """Return what is wrong with the value that it was given, so that no server starts; None if nothing is."""
        return None

    def activate(self, start: Start, settings: switches.Settings) -> None:
        """Begin to listen, once per process."""
        self.start = self.start or start  # A command starts before the server that it makes.
        if self not in _active:
            _active.append(self)
            self.begin(settings)

    def begin(self, settings: switches.Settings) -> None:
        """Begin to listen."""

    def loaded(self) -> None:
        """Act on an application that is loaded and about to be served.

        What is raised fails the load, where fail-safe holds that; else the server does not start.
        """

    def load_failed(self, error: BaseException) -> None:
        """Act on ``error``, which kept the code from being loaded, in the process that loads it."""

    def worker_ended(self, end: End) -> None:
        """Act on the end of a worker that could tell nothing itself, in its supervisor."""


_active: list[Feature] = []


def every() -> tuple[Feature, ...]:
    """Return all the features, those that tell of an error before the one that ends the process for it."""
    from . import error_log, exc_info, failfast, failsafe, on_error, threaded

    modules = (error_log, on_error, exc_info, failfast, threaded, failsafe)
    return tuple(module.feature() for module in modules)


def wanted(settings: switches.Settings) -> list[Feature]:
    """Return the features that are switched on."""
    return [feature for feature in every() if settings[feature.switch]]


def active() -> list[Feature]:
    """Return the features that listen in this process."""
    return _active
