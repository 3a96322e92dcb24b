"""What is remembered of a command before any code of its runs, and the way to fail-safe where that code fails.

Limits: this runs at each start of Python with DEVPATCH_FAILSAFE set, so nothing is imported but what Python has
loaded or built in; what the command is, is asked only when it has failed.
"""

from __future__ import annotations

import atexit
import os
import sys
from types import TracebackType
from typing import Any

# The commands whose command lines are watched for an end; that costs an import of wrapt.
_SUBCOMMANDS = {"runserver", "runserver_plus", "run"}
COMMAND_LINES = frozenset({"django.core.management", "flask.cli"})


class Command:
    """How this process was started: its folder, and a copy of its environment."""

    def __init__(self) -> None:
        self.folder = os.getcwd()
        self.environ = dict(os.environ)


command: Command | None = None
_was_asked = False


def begin() -> bool:
    """Remember the command and watch for its failure; returns whether its command line is to be watched too.

    Raises OSError where the working directory is gone.
    """
    global command
    if "RUN_MAIN" in os.environ or "WERKZEUG_RUN_MAIN" in os.environ:
        return False  # A reloader's worker is no first start.
    command = Command()
    show: Any = sys.excepthook

    def show_and_hold(
        kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        # Programs call it too, in threads: to import then, while others import, may hold both for ever.
        is_last = (getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)) is error
        if is_last and "devpatch.requests" in sys.modules:  # Else there is no frame of ours in it.
            from .requests import without_our_frames

            without_our_frames(error)
            traceback = error.__traceback__
        show(kind, error, traceback)
        if sys._getframe().f_back is None:  # Else a console within the program has called it.
            hold(error)

    def hold_last() -> None:
        # The program may have put another hook in place.
        error = getattr(sys, "last_exc", None) or getattr(sys, "last_value", None)
        if error is not None:
            try:
                hold(error)
            except SystemExit as end:  # Too late for a normal exit; of its handlers this one is the last.
                os._exit(end.code if isinstance(end.code, int) else 1)

    sys.excepthook = show_and_hold
    atexit.register(hold_last)
    return not _SUBCOMMANDS.isdisjoint(sys.orig_argv)


def hold(error: BaseException, *, from_command_line: bool = False) -> None:
    """Where this is a development server's first start, which ``error`` ended, wait for a mend and start anew.

    Returns where it is not. Raises SystemExit once somebody ended the wait.
    """
    global _was_asked
    if command is None or _was_asked:
        return
    _was_asked = True
    try:
        from .features.failsafe.first_start import hold_if_server
    except Exception:
        return  # Without wrapt: whatever crashes, crashes as always.
    hold_if_server(command, error, from_command_line)
