"""Hold the first start of a reloading development server whose code is broken.

There is no reloader yet, so the process itself waits for a change. Then it replaces itself with the same command,
with the same arguments, folder, environment and terminal. (On Windows it starts a child process, because a process
can't replace itself there.)

Limits: ``sys.exit`` in a plain script, ``os._exit`` and signals end the process as always.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from typing import NoReturn

from .... import switches
from ....console import ERROR, flush, say, write
from ....lifecycle import failures, loads, sessions
from ....lifecycle.endings import ExitStatus
from ....lifecycle.tracebacks import is_from_console
from ..failure import Failure
from ..page.server import BACKLOG, PageServer
from .command_lines import Address, Command, recognise, starts_a_server
from .waiting import Waiting
from .watching import Watcher, project_folders


def hold_if_server(
    folder: str, environ: dict[str, str], error: BaseException, from_command_line: bool
) -> None:
    """If ``error`` ended a reloading server's first start, wait for a change and start the server again.

    The process was started in ``folder`` with ``environ``. The traceback of ``error`` has been printed.
    ``from_command_line``: Django's or Flask's own command line ran, so a ``sys.exit`` of the code counts too.
    Raises SystemExit if Ctrl-C or SIGTERM ends the wait.
    """
    settings = switches.read(environ)
    if sessions.has_run or settings.disabled or settings.problems or not settings[switches.FAILSAFE]:
        return
    if "RUN_MAIN" in environ or "WERKZEUG_RUN_MAIN" in environ or is_from_console(error):
        return  # A reloader's worker, or a console within the program.
    # The current environment, because Flask has read its .flaskenv into it.
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    command = recognise(sys.orig_argv, os.environ, main_file)
    if command is None or sys.flags.interactive or sys.flags.inspect:
        return
    if command.script is not None:  # The code may have changed the working directory.
        command = replace(command, script=os.path.join(folder, command.script))
    if not _is_held(error, command, from_command_line):
        return
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        write(f"{error.code}\n")  # The interpreter would have printed this text.
    loads.report_failure(error)
    try:
        _hold(error, command, folder)
    except KeyboardInterrupt:
        raise SystemExit(int(ExitStatus.STOPPED)) from None
    _start_again(folder, environ)


def _is_held(error: BaseException, command: Command, from_command_line: bool) -> bool:
    if isinstance(error, SystemExit):
        return from_command_line
    if not isinstance(error, Exception):
        return False
    is_loaded = "flask" in sys.modules or "werkzeug" in sys.modules
    return command.script is None or starts_a_server(command.script, os.environ, is_loaded=is_loaded)


def _hold(error: BaseException, command: Command, folder: str) -> None:
    description = failures.describe(error)
    watcher = Watcher(project_folders(command.script, folder))
    before = watcher.look()
    watcher.include(
        [*description["files"], *description["modules"]], description["paths"], before, time.time()
    )
    waiting = Waiting(watcher)
    listener = _listen(command.address) if command.address else None
    if listener is not None:
        waiting.page_server = PageServer(listener, None)
    # As both frameworks do. Process 1 of a container has no default handler.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(ExitStatus.STOPPED)))
    say(f"fail-safe: {command.server} could not start; {_where(command, listener)}", ERROR)
    try:
        waiting.wait(
            Failure(description["summary"], description["text"], tuple(description["chain"])), before
        )
        waiting.notify("restarting", is_last=True)
    finally:
        waiting.end()
        waiting.terminal.restore()


def _where(command: Command, listener: socket.socket | None) -> str:
    if command.address is None:
        return "its address is not known yet, so only the terminal shows the error"
    if listener is None:
        return "its port can't be used, so only the terminal shows the error"
    host, port, _ipv6 = command.address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/ shows why"


def _listen(address: Address) -> socket.socket | None:
    host, port, ipv6 = address
    listener = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
    try:
        if os.name == "posix":  # On Windows, this option would allow two servers on the same port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, UnicodeError):
        listener.close()
        return None  # The server itself prints the reason later.
    return listener


def _start_again(folder: str, environ: dict[str, str]) -> NoReturn:
    os.chdir(folder)
    command = [_interpreter(), *sys.orig_argv[1:]]
    flush()
    if os.name == "posix":
        os.execve(sys.executable, command, environ)
    os._exit(subprocess.call(command, env=environ))


def _interpreter() -> str:
    """Return the interpreter as it was typed, if that still is this interpreter."""
    typed = sys.orig_argv[0]
    try:
        found = shutil.which(typed)
        return typed if found and os.path.samefile(found, sys.executable) else sys.executable
    except OSError:
        return sys.executable
