"""What a supervisor and its workers tell each other.

The supervisor describes a worker's session in the worker's environment. A worker's reports are lines of JSON in
a file of its folder, which works on every platform and outlives the worker. A byte through a pair of sockets
wakes the supervisor up to read them. The end of that connection tells that the other side has ended.

Limits: a worker imports this before the user's code, so it imports only what ``json`` needs as well.
"""

from __future__ import annotations

import enum
import json
from typing import Any, NamedTuple

VARIABLE = "_DEVPATCH_WORKER"
# Files in a worker's folder.
REPORTS = "reports"
STDERR = "stderr"  # the end of what it wrote there
FAULT = "fault"  # the C-level traceback of a crash
REPLACED = "replaced"  # made by the supervisor when it ends the worker to start the next one


class Report(enum.Enum):
    """What a worker reports to its supervisor."""

    SERVING = "serving"  # the code is loaded, the reloader watches, the server accepts connections
    FAILED = "failed"  # the code could not be loaded
    RELOADING = "reloading"  # a file changed, and the worker ends for it
    ENDED = "ended"  # it ends on purpose, and the session with it
    MOVED = "moved"  # the code now wants another address than the supervisor's socket has


class WorkerSession(NamedTuple):
    """What a worker has to know."""

    folder: str
    listener: int | None  # the descriptor of the listening socket to adopt; None if the framework passes it
    address: list[Any] | None  # the address that the listener was asked to listen at
    wakeup: int  # the descriptor of the worker's end of the pair of sockets
    waits: bool = False  # whether it runs none of the user's code before it is woken up
    wrapt: str | None = None  # the file of wrapt, if one that waits may import that

    def to_text(self) -> str:
        """Return it as the value of an environment variable."""
        return json.dumps(self._asdict())

    @classmethod
    def from_text(cls, text: str) -> WorkerSession:
        """Read what ``to_text`` returned. Raises ValueError, TypeError."""
        return cls(**json.loads(text))
