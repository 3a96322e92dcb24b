"""The messages between a supervisor and its workers.

The supervisor describes the session in the worker's environment. A worker writes its reports as lines of JSON to a
file in its folder, which works on every platform and outlives the worker. A byte over a socket pair wakes the
supervisor, a standby, or the worker's reloader. When that connection closes, the other side has ended.

Limits: a worker imports this module before the user's code, so it must import little.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

VARIABLE = "_DEVPATCH_WORKER"
# Files in a worker's folder.
REPORTS = "reports"
STDERR = "stderr"  # the end of the worker's stderr
FAULT = "fault"  # the C-level traceback of a crash
HOLDERS = "holders"  # the tracebacks of the threads of a worker that does not end for a reload
FACTS = "facts"  # what a worker reports about itself after its first answer
REPLACED = "replaced"  # created by the supervisor when it ends the worker to start the next one
# The bytes over the socket pair.
WAKE = b"!"  # to the supervisor: there is a report; to a standby: go on
LOOK = b"l"  # to a worker: its reloader should look at its files now


class Report(enum.Enum):
    """What a worker reports to its supervisor."""

    SERVING = "serving"  # the code is loaded, the server accepts connections
    WATCHING = "watching"  # the reloader has seen each file once, so it sees the next change
    WATCHED = "watched"  # the files and folders that the reloader watches
    ANSWERED = "answered"  # it has answered a request and is idle; the facts about it are in a file
    READY = "ready"  # a standby has imported what it may, and waits
    LOADING = "loading"  # it still loads the code after some seconds
    PROMPT = "prompt"  # a prompt or a debugger has stopped it, or lets it go on
    FAILED = "failed"  # the code could not be loaded
    RELOADING = "reloading"  # a file changed, so the worker ends
    ENDED = "ended"  # the worker ends on purpose, and the session ends too
    MOVED = "moved"  # the code wants another address than that of the supervisor's socket


class WorkerSession(NamedTuple):
    """What a worker needs to know."""

    folder: str
    listener: int | None  # the descriptor of the listening socket; None if the framework passes it
    address: list[Any] | None  # the address at which the supervisor was asked to listen
    wakeup: int  # the descriptor of the worker's end of the socket pair
    waits: bool = False  # whether it is a standby, which runs none of the user's code until it is woken
    wrapt: str | None = None  # the file of wrapt that a standby may import, or None
    instructions: Mapping[str, Any] | None = None  # of another feature; see devpatch.lifecycle.standbys
    pid: int | None = None  # of the worker, if it is a program that replaced itself by another one

    def to_text(self) -> str:
        """Return the value of the environment variable."""
        return json.dumps(self._asdict())

    @classmethod
    def from_text(cls, text: str) -> WorkerSession:
        """Read what ``to_text`` returned. Raises ValueError, TypeError."""
        return cls(**json.loads(text))
