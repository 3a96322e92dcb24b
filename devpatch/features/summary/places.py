"""The line of the user's own code that made a query.

This is the only place that reads the call stack. It knows neither requests nor errors by it: if it finds nothing, a
line of the summary has no file name, and nothing else changes. It reads only the stack of the thread that calls it,
with a function of the standard library. ``traceback.extract_stack`` would read source files for each query.

An asynchronous method of Django's ORM, such as ``aget``, makes its query in another thread, on whose stack no code of
the user is. So the line is read before the call of that thread, and a context variable takes it there.

Limits: a query that a template makes has the line of the view that renders the template.
"""

from __future__ import annotations

import enum
import socketserver
import traceback
from contextvars import ContextVar
from functools import lru_cache
from types import FrameType
from typing import NamedTuple

from ...console import shown_path
from ...lifecycle import costs
from ...lifecycle.failures import is_own


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{_shown(self.file)}:{self.line}"


@lru_cache(maxsize=1000)
def _shown(file: str) -> str:
    return shown_path(file)


# Where the code that runs in this context was called from, if it runs in another thread than its caller.
_caller: ContextVar[Place | None] = ContextVar("devpatch_caller", default=None)


def remember_caller() -> None:
    """Remember the line that ``own_line`` returns, for the thread that is about to be called."""
    _caller.set(own_line())


def own_line() -> Place | None:
    """Return the innermost line of the user's own code that is running, or None.

    Before Python 3.14, ``walk_stack`` leaves out this function's callers in devpatch: the record and the integration.
    """
    # Only the first frame is taken from it, because it computes the line of each frame.
    frame: FrameType | None = next(traceback.walk_stack(None))[0]
    while frame is not None:
        file = frame.f_code.co_filename
        role = _roles.get(file) or _role(file)
        if role is _Role.OWN:
            return Place(file, frame.f_lineno)
        if role is _Role.THREAD:
            return _caller.get()
        if role is _Role.SERVER:
            return None
        frame = frame.f_back
    return None


class _Role(enum.Enum):
    """What a source file on the stack means for the search."""

    OWN = enum.auto()  # code of the user
    THREAD = enum.auto()  # runs code for another thread, where the search continues
    SERVER = enum.auto()  # calls the application; what called the server made no query
    OTHER = enum.auto()


_roles: dict[str, _Role] = {}  # by the name of the file


def _role(file: str) -> _Role:
    if file == socketserver.__file__:
        role = _Role.SERVER
    elif file in costs.thread_entries:  # asgiref has added its file before it runs any code.
        role = _Role.THREAD
    elif file.endswith(".py") and is_own(file):
        role = _Role.OWN
    else:  # Jinja compiles templates to code with the template's file name, but with other line numbers.
        role = _Role.OTHER
    _roles[file] = role
    return role
