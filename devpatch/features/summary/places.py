"""The line of the user's own code that made a query.

This is the only place that reads the call stack. It knows neither requests nor errors by it: if it finds nothing, a
line of the summary has no file name, and nothing else changes. It reads only the stack of the thread that calls it,
with a function of the standard library. ``traceback.extract_stack`` would read source files for each query.

Limits: an asynchronous method of Django's ORM, such as ``aget``, makes its query in another thread, on whose stack
no code of the user is. A query that a template makes has the line of the view that renders the template.
"""

from __future__ import annotations

import socketserver
import traceback
from functools import lru_cache
from typing import NamedTuple

from ...console import shown_path
from ...lifecycle.failures import is_own


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}"


def own_line() -> Place | None:
    """Return the innermost line of the user's own code that is running in this thread, or None."""
    for frame, line in traceback.walk_stack(None):
        file = frame.f_code.co_filename
        if file == socketserver.__file__:
            return None  # The server called the application here. What called the server made no query.
        if _is_own_source(file):
            return Place(file, line)
    return None


@lru_cache(maxsize=5000)
def _is_own_source(file: str) -> bool:
    # Jinja compiles templates to code with the template's file name, but with other line numbers.
    return file.endswith(".py") and is_own(file)
