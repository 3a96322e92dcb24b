"""``devpatch doctor`` starts the user's command, which reports instead of serving.

The doctor sets a variable to the path of the file for the report.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping

from .. import switches
from .endings import ExitStatus

VARIABLE = "_DEVPATCH_EXAMINED"
environ_at_start: Mapping[str, str] | None = None  # the environment at the start of Python; None: not known


def is_wanted() -> bool:
    """Whether this process is to report instead of serving."""
    return VARIABLE in os.environ


def report(
    server: str, reasons: Mapping[str, str | None], *, reloads: bool = False, refusing: Collection[str] = ()
) -> None:
    """End the process with a report if one is wanted.

    ``reasons`` has for each feature why it has no effect on ``server``, or None. ``reloads``: whether the server has a
    reloader that is on. ``refusing``: the features that do not let the server start if they have no effect.
    """
    if not is_wanted():
        return
    variables = sorted(name for name in os.environ if name.startswith(switches.PREFIX))
    early = os.environ if environ_at_start is None else environ_at_start
    found = {
        "server": server,
        "reasons": dict(reasons),
        "reloads": reloads,
        "refusing": sorted(refusing),
        "variables": variables,
        "late": [name for name in variables if name not in early],  # The program has set them.
    }
    with open(os.environ[VARIABLE], "w") as file:
        json.dump(found, file)
    os._exit(ExitStatus.EXAMINED)
