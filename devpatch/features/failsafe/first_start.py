"""The first start: a command that is recognisably a reloading development server, and whose code is broken.

There is no reloader yet, so the process itself waits, and then becomes the same command anew: same
arguments, folder, environment and terminal, and no further layer of processes (on Windows one, for there
a process can't become another).

Limits: a plain script's ``sys.exit``, ``os._exit`` and signals end it as always.
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

from ... import failures, loads, supervision, switches
from ...console import say, write
from ...first_start import Command as Process
from ...process import ExitStatus
from .answering import BACKLOG, Answering
from .commands import Address, Command, recognise, starts_a_server
from .holding import Holding
from .watching import Watcher, project_folders
from .workers import Failure


def hold_if_server(process: Process, error: BaseException, from_command_line: bool) -> None:
    """Where a reloading server's first start ended with ``error``, wait and start it again; else do nothing.

    Its traceback was printed. ``from_command_line`` says that Django's or Flask's own command line ran, so
    that a ``sys.exit`` of the code counts. Raises SystemExit once somebody ended the wait.
    """
    settings = switches.read(process.environ)
    if supervision.has_run() or settings.disabled or settings.problems or not settings[switches.FAILSAFE]:
        return
    # The present environment, for Flask has read its .flaskenv into it.
    main_file = getattr(sys.modules.get("__main__"), "__file__", None)
    command = recognise(sys.orig_argv, os.environ, main_file)
    if command is None or sys.flags.interactive or sys.flags.inspect:
        return
    if command.script is not None:  # The code may have changed the working directory.
        command = replace(command, script=os.path.join(process.folder, command.script))
    if not _is_held(error, command, from_command_line):
        return
    if isinstance(error, SystemExit) and isinstance(error.code, str):
        write(f"{error.code}\n")  # The interpreter would have printed it.
    loads.tell(error)
    try:
        _hold(error, command, process.folder)
    except KeyboardInterrupt:
        raise SystemExit(int(ExitStatus.STOPPED)) from None
    _start_again(process)


def _is_held(error: BaseException, command: Command, from_command_line: bool) -> bool:
    if isinstance(error, SystemExit):
        return from_command_line
    if not isinstance(error, Exception):
        return False
    is_loaded = "flask" in sys.modules or "werkzeug" in sys.modules
    return command.script is None or starts_a_server(command.script, os.environ, is_loaded=is_loaded)


def _hold(error: BaseException, command: Command, folder: str) -> None:
    told = failures.describe(error)
    watcher = Watcher(project_folders(command.script, folder), [path for path in sys.path if path], (), ())
    before = watcher.look()
    watcher.include([*told["files"], *told["modules"]], told["paths"], before, time.time())
    holding = Holding(watcher)
    listener = _listen(command.address) if command.address else None
    if listener is not None:
        holding.answering = Answering(listener, None)
    # As both frameworks do it, for process 1 of a container has no default.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(int(ExitStatus.STOPPED)))
    say(f"fail-safe: {command.server} could not start; {_where(command, listener)}")
    try:
        holding.wait(Failure(told["summary"], told["text"], tuple(told["chain"])), before)
        holding.notify("restarting", is_last=True)
    finally:
        holding.end()
        holding.terminal.restore()


def _where(command: Command, listener: socket.socket | None) -> str:
    if command.address is None:
        return "its address is not known yet, so the error stands here alone"
    if listener is None:
        return "its port can't be had, so the error stands here alone"
    host, port, _ipv6 = command.address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/ shows why"


def _listen(address: Address) -> socket.socket | None:
    host, port, ipv6 = address
    listener = socket.socket(socket.AF_INET6 if ipv6 else socket.AF_INET)
    try:
        if os.name == "posix":  # Elsewhere it would let two servers have the same port.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError, UnicodeError):
        listener.close()
        return None  # The server will say it, once it gets that far.
    return listener


def _start_again(process: Process) -> NoReturn:
    os.chdir(process.folder)
    command = [_interpreter(), *sys.orig_argv[1:]]
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass
    if os.name == "posix":
        os.execve(sys.executable, command, process.environ)
    os._exit(subprocess.call(command, env=process.environ))


def _interpreter() -> str:
    """Return the interpreter as it was typed, where that leads to the same one still."""
    typed = sys.orig_argv[0]
    try:
        found = shutil.which(typed)
        return typed if found and os.path.samefile(found, sys.executable) else sys.executable
    except OSError:
        return sys.executable
