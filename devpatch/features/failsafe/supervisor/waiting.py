"""Wait for a change: answer requests with the failure until a file changes or Enter is pressed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from .... import console
from ....lifecycle import file_changes
from ..failure import Failure
from ..page.answers import answer
from ..page.server import PageServer
from ..worker import slow_load
from .changes import ChangeFilter
from .processes import reap
from .terminal import Terminal
from .watching import Snapshot, Watcher, differences, is_echo

# Seconds in which the output at a worker's end may reach a file through another program (`| tee log`).
_ECHO_LIMIT = 2.0
_DEBOUNCE = 0.1  # seconds without another change before a start: editors save in several steps
_MAX_LOOKS = 20
_INTERVAL_WITH_OBSERVER = 2.0  # seconds between two looks, if the observer reports changes anyway


class Waiting:
    """Waits for a change. ``page_server`` is None if the address is not known or can't be used."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.terminal = Terminal()
        self.change_filter = ChangeFilter()
        self.page_server: PageServer | None = None

    def wait(self, failure: Failure, before: Snapshot) -> None:
        """Wait until a file differs from the snapshot ``before``, or Enter is pressed."""
        self.notify("broken", is_last=True)
        folders = self.watcher.folders
        if self.page_server is not None:
            self.page_server.open(lambda request: answer(request, failure, folders))
        self.terminal.forget_input()
        console.say(f"fail-safe: {failure.headline}; {self._what_it_waits_for()}", console.ERROR)
        try:
            changes = self._wait_for_change(before, failure.text)
        finally:
            if self.page_server is not None:
                self.page_server.close()
        if changes:
            if not file_changes.observer.is_active:
                self._debounce()  # The observer reports a change only when it is complete.
            self.announce_change(changes)
        else:
            self.change_filter.forget()

    def _wait_for_change(self, before: Snapshot, text: str) -> list[str]:
        """Return the files that changed. The list is empty if Enter was pressed."""
        began = time.monotonic()
        while not self.terminal.wait_for_enter(self._interval(), file_changes.observer.fileno()):
            file_changes.observer.take()
            if os.getpid() == 1:
                reap()
            snapshot = self.watcher.look()
            waited = time.monotonic() - began
            changes = differences(before, snapshot)
            if waited < _ECHO_LIMIT:
                changes = [
                    name for name in changes if not is_echo(name, before.get(name), snapshot.get(name), text)
                ]
            muted = set(self.change_filter.muted)
            wanted = self.change_filter.in_wait(changes, waited)
            for name in self.change_filter.muted - muted:
                shown = console.shown_path(name)
                console.say(
                    f"fail-safe: {shown} changes all the time; it is ignored until the server works again",
                    console.WARNING,
                )
            if wanted:
                return wanted
            before = snapshot
        return []

    def _interval(self) -> float:
        return max(self.watcher.interval, _INTERVAL_WITH_OBSERVER if file_changes.observer.is_active else 0.0)

    def _debounce(self) -> None:
        before = self.watcher.look()
        for _ in range(_MAX_LOOKS):
            time.sleep(_DEBOUNCE)
            after = self.watcher.look()
            if after == before:
                break
            before = after

    def _what_it_waits_for(self) -> str:
        where = " and ".join(self.watcher.folders) or "the imported files"
        enter = "Enter starts it again, " if self.terminal else ""
        return f"waiting for a change in {where}; {enter}Ctrl-C quits"

    def end(self) -> None:
        """Close the connections of open pages."""
        if self.page_server is not None:
            self.page_server.end()

    def notify(self, name: str, text: str = "", *, is_last: bool = False) -> None:
        """Notify the open pages. See ``PageServer.notify``."""
        if self.page_server is not None:
            self.page_server.notify(name, text, is_last=is_last)

    def announce_slow_load(self, module: str) -> None:
        """Print, and show on the open pages, that the worker still loads, and the module that it is importing."""
        what = f": it is importing {module}" if module else ""
        console.say(f"fail-safe: the code still loads after {slow_load.LIMIT:.0f} s{what}")
        self.notify("loading", console.plain(f"The code still loads{what}."))

    def announce_change(self, changes: Sequence[str], *, is_loading: bool = False) -> None:
        """Print what changed, and that the code starts again. ``is_loading``: no failure, a start was going on."""
        self.notify("starting")
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        when = " while the code was loading" if is_loading else ""
        console.say(f"fail-safe: {console.shown_path(changes[0])}{more} changed{when}, starting again")
