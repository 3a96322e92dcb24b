"""The two kinds of files that `devpatch errors` and `devpatch summary` read, and how to tell one from the other."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

from .. import switches
from ..console import WARNING, say, shown_path
from ..lifecycle.log_files import path_of


@dataclass(frozen=True)
class Log:
    """A kind of file. Each of its lines has the ``fields``, and no line of another kind has all of them."""

    switch: switches.Switch
    command: str  # the command that shows it
    name: str
    fields: frozenset[str]

    def path(self, named: str | None) -> str | None:
        """Return ``named``, or else the path that the environment names. None if there is neither."""
        value = switches.read(os.environ)[self.switch]
        return named or (shown_path(path_of(value)) if value else None)

    def needed(self) -> str:
        """Return the message for a command line that names no file."""
        return f"name a file: devpatch {self.command} FILE, or set {self.switch.name}"

    def unreadable(self, path: str, error: OSError, named: str | None) -> str:
        """Return the message for a file that can't be read. ``named`` is None if the environment names it."""
        reason = f"can't be read ({error.strerror})"
        if named is None:
            return f"{path}, which {self.switch.name} names, {reason}"
        return f"{path} {reason}; is it the file that {self.switch.name} names?"

    def mistaken(self, path: str, lines: Iterable[str]) -> str:
        """Return the message for a file that is not of this kind. ``lines`` are its lines."""
        other = next((log for log in _LOGS if log is not self and any(map(log.has, lines))), None)
        message = f"{path} is not {self.name} of devpatch"
        if other is not None:
            return f"{message}, but {other.name}; try: devpatch {other.command} {path}"
        return f"{message}; name the file of {self.switch.name}"

    def has(self, line: str) -> bool:
        """Whether ``line`` looks like one of this kind."""
        try:
            data = json.loads(line)
        except ValueError:
            return False
        return isinstance(data, dict) and self.fields <= data.keys()


ERRORS = Log(switches.ERROR_LOG, "errors", "an error log", frozenset(("kind", "exception", "causes")))
SUMMARY = Log(switches.SUMMARY_LOG, "summary", "a summary log", frozenset(("route", "total_ms", "sql")))
_LOGS = (ERRORS, SUMMARY)


def warn_of_left_out(path: str, number: int) -> None:
    """Print that so many lines of a file could not be read, if there are any."""
    if number:
        lines, are = ("line", "is") if number == 1 else ("lines", "are")
        say(f"{number} {lines} of {path} can't be read and {are} left out", WARNING)
