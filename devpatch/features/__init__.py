"""The features, one file each. A feature knows no framework: it names the capabilities that it needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .. import switches
from ..patching import Capability

if TYPE_CHECKING:
    from ..serving import Start


class Feature(Protocol):
    """What the start of a server asks of a feature."""

    name: str
    switch: switches.Switch
    needs: frozenset[Capability]
    refuses: bool  # whether a server that lacks a need must not start
    needs_reloader: bool  # whether it has no effect on servers that have none

    def objection(self, start: Start, settings: switches.Settings) -> str | None:
        """Return why it can't work on this start, beyond the patches."""

    def refusal(self, server: str, reason: str) -> str:
        """Return the line that says why the server does not start."""

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """Return the line that says that it is on."""

    def activate(self, settings: switches.Settings) -> None:
        """Begin to listen; called again it does nothing."""


_active: list[Feature] = []


def every() -> tuple[Feature, ...]:
    """Return all the features."""
    from . import failfast, failsafe, threaded

    return (failfast.feature(), threaded.feature(), failsafe.feature())


def wanted(settings: switches.Settings) -> list[Feature]:
    """Return the features that are switched on."""
    return [feature for feature in every() if settings[feature.switch]]


def active() -> list[Feature]:
    """Return the features that listen in this process."""
    return _active


def mark_active(feature: Feature) -> bool:
    """Note that ``feature`` begins to listen; False if it does already."""
    if feature in _active:
        return False
    _active.append(feature)
    return True
