"""``devpatch doctor`` starts the user's command, which reports instead of serving.

The doctor sets a variable to the path of the file for the report.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

VARIABLE = "_DEVPATCH_EXAMINED"


def is_wanted() -> bool:
    """Whether this process is to report instead of serving."""
    return VARIABLE in os.environ


def report(server: str, reasons: Mapping[str, str | None]) -> None:
    """End the process with a report if one is wanted: for each feature why it has no effect on ``server``, or None."""
    if not is_wanted():
        return
    with open(os.environ[VARIABLE], "w") as file:
        json.dump({"server": server, "reasons": dict(reasons)}, file)
    os._exit(0)
