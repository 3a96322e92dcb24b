"""DEVPATCH_EXC_INFO: WSGI middleware and servers are told of the exception behind a response with status 500.

The patches stand on the application and work under any WSGI server; they are made when its framework is
imported. A development server says that it is on; any other is not spoken to, unless it can't be done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import switches
from ..patching import Capability
from . import Feature

if TYPE_CHECKING:
    from ..serving import Start


class ExcInfo(Feature):
    """See the module."""

    name = "exc-info"
    switch = switches.EXC_INFO
    needs = frozenset({Capability.EXC_INFO})
    guards = False

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        return f"{self.name} is on for {start.server}: start_response gets the exception behind an error response"


_the_one = ExcInfo()


def feature() -> ExcInfo:
    """Return the feature; there is one per process."""
    return _the_one
