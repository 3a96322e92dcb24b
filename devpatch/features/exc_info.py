"""DEVPATCH_EXC_INFO: WSGI middleware and servers get the exception behind a response with status 500.

The patches are made on the application when its framework is imported, and work under any WSGI server. Under a
development server, a line says that the feature is on. Under other servers, a line appears only if it does not work.
"""

from __future__ import annotations

from .. import switches
from ..lifecycle.starts import Start
from ..patching import Capability
from . import Feature


class ExcInfo(Feature):
    """See the module."""

    name = "exc-info"
    switch = switches.EXC_INFO
    needs = frozenset({Capability.EXC_INFO})
    watches_requests = False

    def announcement(self, start: Start, settings: switches.Settings) -> str:
        """See Feature.announcement."""
        return f"{self.name} is on for {start.server}: start_response gets the exception behind an error response"
