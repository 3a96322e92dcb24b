"""The wait for a mend: the failure stands in for the server until a file changes or Enter is pressed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from ... import console
from .answering import Answering
from .answers import answer
from .terminal import Terminal
from .watching import Picture, Restraint, Watcher, differences, is_echo
from .workers import Failure, reap

# What is said at the end of a worker may go to a file through another program (`| tee log`), within these seconds.
_ECHO_LIMIT = 2.0
_QUIET = 0.1  # seconds without a further change before a start, for editors save in several steps
_MOST_QUIET_LOOKS = 20


class Holding:
    """What a session waits with; ``answering`` is None where the address is not known, or not ours."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.terminal = Terminal()
        self.restraint = Restraint()
        self.answering: Answering | None = None

    def wait(self, failure: Failure, before: Picture) -> None:
        """Return once a file does not look as in the picture ``before`` any more, or Enter was pressed."""
        self.notify("broken", is_last=True)
        folders = self.watcher.folders
        if self.answering is not None:
            self.answering.open(lambda request: answer(request, failure, folders))
        self.terminal.forget_input()
        console.say(f"fail-safe: {self._what_it_waits_for()}")
        try:
            changes = self._wait_for_change(before, failure.text)
        finally:
            if self.answering is not None:
                self.answering.close()
        if changes:
            self._let_settle()
            self.tell_change(changes)
        else:
            self.restraint.forget()

    def _wait_for_change(self, before: Picture, text: str) -> list[str]:
        """Return the files that changed; none where Enter was pressed."""
        began = time.monotonic()
        while not self.terminal.wait_for_enter(self.watcher.interval):
            if os.getpid() == 1:
                reap()
            picture = self.watcher.look()
            waited = time.monotonic() - began
            changes = differences(before, picture)
            if waited < _ECHO_LIMIT:
                changes = [
                    name for name in changes if not is_echo(name, before.get(name), picture.get(name), text)
                ]
            muted = set(self.restraint.muted)
            wanted = self.restraint.in_wait(changes, waited)
            for name in self.restraint.muted - muted:
                console.say(
                    f"fail-safe: {_shown(name)} changes all the time, and starts no more workers until one serves"
                )
            if wanted:
                return wanted
            before = picture
        return []

    def _let_settle(self) -> None:
        before = self.watcher.look()
        for _ in range(_MOST_QUIET_LOOKS):
            time.sleep(_QUIET)
            after = self.watcher.look()
            if after == before:
                break
            before = after

    def _what_it_waits_for(self) -> str:
        where = " and ".join(self.watcher.folders) or "the imported files"
        enter = "Enter starts it again, " if self.terminal else ""
        return f"waiting for a change in {where}; {enter}Ctrl-C quits"

    def end(self) -> None:
        """Take leave of the pages that are open."""
        if self.answering is not None:
            self.answering.end()

    def notify(self, name: str, *, is_last: bool = False) -> None:
        """Tell the pages that are open; see ``Answering.notify``."""
        if self.answering is not None:
            self.answering.notify(name, is_last=is_last)

    def tell_change(self, changes: Sequence[str]) -> None:
        """Say what changed, and that the next start comes of it."""
        self.notify("starting")
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        console.say(f"fail-safe: {_shown(changes[0])}{more} changed, starting again")


def _shown(name: str) -> str:
    try:
        relative = os.path.relpath(name)
    except ValueError:  # another drive
        return name
    return name if relative.startswith(os.pardir) else relative
