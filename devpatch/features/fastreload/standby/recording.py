"""Record, from the start of a worker, in which order the import of modules begins, and the state before the program.

Limits: a worker begins this before the user's code, so it imports little.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_OWN_VARIABLES = "_DEVPATCH_"

Contents = dict[
    str, tuple[Any, tuple[Any, ...]]
]  # modules and the values of their attributes, by the modules' names


class Recording:
    """The order of imports, and what was there before the program."""

    def __init__(self, warmed: list[str]) -> None:
        """``warmed`` are the names of the modules that this worker has imported as a standby, in order."""
        self.names: dict[str, None] = dict.fromkeys(warmed)
        self.ahead = frozenset(warmed)
        self._environ = dict(os.environ)
        self.has_seen_begin = False  # of the program
        self.reads: dict[str, list[str]] = {}  # which warmed modules have read which variables
        self.warmed: Contents = {}  # the modules of a standby, when it had imported them
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Record the name. Called by the import system; always returns None."""
        self.names[name] = None

    def program_begins(self) -> None:
        """Take the environment as the program finds it. sitecustomize may have changed it."""
        self.has_seen_begin = True
        self._environ = dict(os.environ)

    def end(self) -> None:
        """Record no more names."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def changed(self) -> dict[str, str | None]:
        """Return the variables that were changed since the program began, with their values now."""
        now = dict(os.environ)
        names = sorted(now.keys() | self._environ.keys())
        return {
            name: now.get(name)
            for name in names
            if now.get(name) != self._environ.get(name) and not name.startswith(_OWN_VARIABLES)
        }


this: Recording | None = None


def begin(warmed: list[str]) -> Recording:
    """Begin to record in this process."""
    global this
    this = Recording(warmed)
    return this
