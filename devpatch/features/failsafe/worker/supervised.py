"""Pass what integrations report in a worker on to its supervisor."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ....lifecycle import failures, prompts, sessions, standbys
from ....lifecycle.file_changes import Watched
from .. import ipc
from ..ipc import Report
from . import draining, preloading, process
from .messages import Messages


class SupervisedWorker(sessions.Worker):
    """The worker's side of a session that has a supervisor."""

    is_supervised = True

    def __init__(self) -> None:
        """Take this process. ``process.begin`` must have been called."""
        assert process.this is not None
        self._process = process.this
        self._watches = False
        self._messages: Messages | None = None

    def listen(self) -> None:
        """Register for the reports of the integrations."""
        sessions.set_worker(self)

    @property
    def has_failed(self) -> bool:  # type: ignore[override]
        """See sessions.Worker."""
        return self._process.verdict is Report.FAILED

    def serves(self) -> None:
        """See sessions.Worker. Does not return if this worker must be replaced: it must not answer any request."""
        self.is_serving = True
        objection = standbys.objection()
        self._process.report(
            Report.SERVING,
            modules=sorted(failures.own_modules()),
            wrapt=preloading.origin_of_wrapt(),
            objection=objection,
        )
        if objection is not None:
            threading.Event().wait()  # The supervisor terminates this process.

    def watches(self) -> None:
        """See sessions.Worker."""
        if not self._watches:
            self._watches = True
            self._process.report(Report.WATCHING)

    def load_failed(self, error: BaseException, show: Callable[[], object] = lambda: None) -> bool:
        """See sessions.Worker."""
        return self._process.load_failed(error, show)

    def reloads(self) -> None:
        """See sessions.Worker."""
        self._process.report(Report.RELOADING)
        draining.drain()
        while prompts.wait():  # A request has come to a prompt since the reload began.
            draining.drain()
        self._process.dump_holders()

    def answered(self, facts: Mapping[str, Any]) -> None:
        """See sessions.Worker."""
        try:
            (self._process.folder / ipc.FACTS).write_text(json.dumps(facts), encoding="utf-8")
        except OSError:
            return  # The supervisor has ended and removed its folder.
        self._process.report(Report.ANSWERED)

    def reports_watched(self, watched: Watched) -> None:
        """See sessions.Worker. The supervisor gets the user's own files, and the folders of all files."""
        files = [os.path.abspath(name) for name in watched.files]
        self._process.report(
            Report.WATCHED,
            files=sorted(filter(failures.is_own, files)),
            folders=sorted(watched.folders),
            file_folders=sorted({os.path.dirname(name) for name in files}),
        )

    def wait_for_message(self, seconds: float) -> bool:
        """See sessions.Worker."""
        if self._messages is None:
            self._messages = Messages(self._process.wakeup)
        return self._messages.wait(seconds)

    def ends(self) -> None:
        """See sessions.Worker."""
        if (self._process.folder / ipc.REPLACED).exists():
            draining.drain()
        self._process.report(Report.ENDED)

    def prompts(self, is_open: bool) -> None:
        """See sessions.Worker."""
        self._process.report(Report.PROMPT, open=is_open, reload_waits=False)

    def reload_waits(self) -> None:
        """See sessions.Worker."""
        self._process.report(Report.PROMPT, open=True, reload_waits=True)

    def moves(self, address: list[Any]) -> bool:
        """See sessions.Worker."""
        if self._process.listener is None or self._process.address == address:
            return False
        self._process.report(Report.MOVED, address=address)
        return True

    def adopt_listener(self) -> socket.socket | None:
        """See sessions.Worker. The socket is already bound and listens, so its ``bind`` and ``listen`` do nothing."""
        descriptor, self._process.listener = self._process.listener, None
        return None if descriptor is None else _AdoptedListener(fileno=descriptor)

    def has_reported(self, error: SystemExit) -> bool:
        """See sessions.Worker."""
        return isinstance(error.code, str) and error.code == self._process.exit_text


class _AdoptedListener(socket.socket):
    def bind(self, address: Any) -> None:
        """Do nothing."""

    def listen(self, backlog: int = 0) -> None:
        """Do nothing: Django's server would reduce the backlog to 10."""
