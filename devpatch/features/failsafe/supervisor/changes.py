"""Decide which changes of files start a worker, because programs may write files in their own project."""

from __future__ import annotations

import hashlib
import re

from ....lifecycle.file_names import is_source
from .watching import Snapshot, differences, has_grown

_MAX_IN_A_ROW = 5  # starts in a row that a source may cause if each worker changes it
# Programs usually write these files. A change during a start is not a change of the code.
_WRITTEN = re.compile(
    r".*(\.log(\.\d+)?|\.db|\.sqlite3?|-wal|-shm|-journal|\.pid|\.lock|\.sock|\.tmp|\.prof)"
)
# People write these files, and programs read them.
_READ = re.compile(
    r".*\.(ya?ml|toml|json|ini|cfg|conf|env|xml|html?|jinja2?|j2|css|js|ts|csv|po|sql|graphql|md|rst)|.*/\.\w*env"
)


class ChangeFilter:
    """Prevents a file that a program writes, such as a log, from starting one worker after the other."""

    SOON = 10.0  # seconds after a worker's end; the worker itself may cause a change within this time
    MAX_SOON_STARTS = 5  # starts in a row that such changes of one file may cause, if it is not a source

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._in_this_start: set[str] = set()
        self._contents: dict[str, bytes] = {}
        self._soon_starts: dict[str, int] = {}
        self.muted: set[str] = set()

    def begin_start(self) -> None:
        """Record that the next worker starts."""
        self._in_a_row = {name: self._in_a_row[name] for name in self._in_this_start}
        self._in_this_start = set()

    def in_start(self, before: Snapshot, after: Snapshot, *, has_ended: bool) -> list[str]:
        """Return the changes during a worker's start that require another start.

        The worker may have made the changes itself. So a file that is not a source does not count while the worker
        lives. After the worker's end (``has_ended``), it does not count if it has only grown, like a log, unless
        programs read files of that name. A file that changes in every start counts only for the first starts.
        """
        changes = [
            name
            for name in differences(before, after)
            if self._is_new_source(name)
            if is_source(name)
            or (
                has_ended
                and not _WRITTEN.fullmatch(name)
                and (_READ.fullmatch(name) or not has_grown(before.get(name), after.get(name)))
            )
        ]
        for name in set(changes) - self._in_this_start:
            self._in_a_row[name] = self._in_a_row.get(name, 0) + 1
        self._in_this_start.update(changes)
        return [name for name in changes if self._in_a_row[name] <= (_MAX_IN_A_ROW if is_source(name) else 1)]

    def _is_new_source(self, name: str) -> bool:
        """Whether a source that changed in the last start has new content now. True for all other files."""
        if not is_source(name) or name in self._in_this_start:
            return True
        try:
            with open(name, "rb") as file:
                content = hashlib.sha256(file.read()).digest()
        except OSError:
            content = b""
        was, self._contents[name] = self._contents.get(name), content
        return was != content or name not in self._in_a_row

    def in_wait(self, changes: list[str], waited: float) -> list[str]:
        """Return the ``changes`` that require a start. ``waited`` is the time since the last worker's end, in s."""
        wanted = [name for name in changes if name not in self.muted]
        for name in wanted:
            if not is_source(name):
                self._soon_starts[name] = self._soon_starts.get(name, 0) + 1 if waited < self.SOON else 0
                if self._soon_starts[name] > self.MAX_SOON_STARTS:
                    self.muted.add(name)
        return [name for name in wanted if name not in self.muted]

    def forget(self) -> None:
        """Forget all counts: the code works again, or somebody pressed Enter."""
        self._soon_starts.clear()
        self.muted.clear()
