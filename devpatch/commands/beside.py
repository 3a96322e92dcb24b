"""``devpatch run --with``: run a second command beside the server, such as tests, and end both when either ends.

Both stay in this process's group, so Ctrl-C in a terminal reaches them too. The server keeps stdin.

Limits: a program is ended by SIGTERM (on Windows by TerminateProcess). A child that it leaves behind is not ended.
"""

from __future__ import annotations

import http.client
import os
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple

from .. import switches
from ..console import ERROR, WARNING, say
from ..features.failsafe.failure import HEADER
from ..features.failsafe.supervisor.command_lines import Address
from ..lifecycle.endings import MARK, ExitStatus

_POLL_INTERVAL = 0.05  # seconds between two looks at the processes
_ANSWER_LIMIT = 5.0  # seconds for the server to answer one request
_HINT_AFTER = 15.0  # seconds without an answer, after which a line says at which address it is awaited
_START_LIMIT = 180.0  # seconds for the server to answer for the first time
_END_LIMIT = 5.0  # seconds for a program to end after SIGTERM
# With fail-fast, the server leaves a mark when it has answered the failed request. Then it is about to end. If the
# second command failed, the server's error is the likely reason.
_FAILFAST_LIMIT, _FAILFAST_LIMIT_AFTER_FAILURE = 2.0, 6.0  # seconds
_FAILED_END_LIMIT = (
    15.0  # seconds for the end after the mark; on a busy machine the reloader's parent needs some
)
_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1", "0": "127.0.0.1"}
_SIGNALLED = 128  # added to the number of the signal that ended a program, as in shells


class Program(NamedTuple):
    """A program to start: its path, its command line and its environment."""

    path: str
    command: list[str]
    environ: dict[str, str]

    def start(self, **options: Any) -> subprocess.Popen[bytes]:
        """Start it. Raises OSError."""
        name = self.path if os.name == "nt" else self.command[0]  # Windows finds only .exe by itself.
        command = [name, *self.command[1:]]
        return subprocess.Popen(command, executable=self.path, env=self.environ, **options)

    def __str__(self) -> str:
        return shlex.join(self.command)


class _Broken(Exception):
    """Fail-safe answers, because the server's code could not be loaded."""


class _Interrupted(Exception):
    """A signal asks this process to end. The argument is its number."""


def words_of(text: str) -> list[str]:
    """Return the words of a command line, by the rules of a POSIX shell. On Windows a backslash is no escape."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if os.name == "nt":
        lexer.escape = ""
    try:
        return list(lexer)
    except ValueError:  # A quotation mark is missing.
        return []


def url_of(address: Address | None) -> str | None:
    """Return the URL of the root at ``address``, or None if it is not known."""
    if address is None:
        return None
    host = _ANY_ADDRESS.get(address[0], address[0])
    return f"http://[{host}]:{address[1]}/" if ":" in host else f"http://{host}:{address[1]}/"


def is_taken(url: str) -> bool:
    """Whether a program accepts connections at ``url`` already. The second command would talk to that one."""
    parts = urllib.parse.urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port or 80), timeout=_ANSWER_LIMIT).close()
    except OSError:
        return False
    return True


def run(server: Program, second: Program, url: str) -> int:
    """Start ``server``, and ``second`` once ``url`` answers. End both when either ends. Return the exit status.

    It is the server's if the server failed, and otherwise that of the second command.
    """
    running: list[subprocess.Popen[bytes]] = []
    folder = tempfile.mkdtemp(prefix="devpatch-run-")
    mark = Path(folder, "ends") if switches.read(server.environ)[switches.FAILFAST] else None
    if mark is not None:
        server = server._replace(environ={**server.environ, MARK: str(mark)})
    handlers = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        running.append(server.start())
        if not _answers(running[0], url):
            return _status_of_early_end(running[0], url)
        say(f"{url} answers, so this starts: {second}")
        running.append(second.start(stdin=subprocess.DEVNULL))
        while all(process.poll() is None for process in running):
            time.sleep(_POLL_INTERVAL)
        return _outcome(running[0], running[1], mark, second.command[0])
    except _Broken:
        say("the server's code is broken, see above; so nothing was run beside it", ERROR)
        return int(ExitStatus.FAILED)
    except _Interrupted as interrupted:
        _let_end(running, interrupted.args[0])
        return _SIGNALLED + int(interrupted.args[0])
    except OSError as error:
        say(f"{error.filename or server.path} can't be run: {error.strerror}", ERROR)
        return int(ExitStatus.CANNOT_RUN)
    finally:
        for number in handlers:
            signal.signal(number, signal.SIG_IGN)
        for process in reversed(running):
            _end(process)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        shutil.rmtree(folder, ignore_errors=True)


def _interrupt(number: int, _frame: object) -> None:
    raise _Interrupted(number)


def _answers(server: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until ``url`` answers with any status. Return False if the server ends before, or takes too long.

    Raises _Broken.
    """
    started, has_hinted = time.monotonic(), False
    while server.poll() is None and time.monotonic() - started < _START_LIMIT:
        try:
            _request(url)
            return True
        except (OSError, http.client.HTTPException):
            time.sleep(_POLL_INTERVAL)
        if not has_hinted and time.monotonic() - started > _HINT_AFTER:
            has_hinted = True
            say(f"no answer from {url} yet: see above for an error; for another address, add --url", WARNING)
    return False


def _request(url: str) -> None:
    """Send a GET request and read the response. Raises OSError, HTTPException, _Broken."""
    parts = urllib.parse.urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # The certificate of a development server is rarely a real one, and nothing secret is sent.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=_ANSWER_LIMIT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=_ANSWER_LIMIT)
    try:
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("GET", target, headers={"Connection": "close"})
        response = connection.getresponse()
        response.read()
        if response.headers.get(HEADER):
            raise _Broken
    finally:
        connection.close()


def _status_of_early_end(server: subprocess.Popen[bytes], url: str) -> int:
    if server.poll() is None:
        say(f"no answer from {url}, so both end", ERROR)
        return int(ExitStatus.FAILED)
    status = _status_of(server)
    say(f"the server ended with exit status {status} before it answered", ERROR)
    return status or int(ExitStatus.FAILED)


def _outcome(
    server: subprocess.Popen[bytes], second: subprocess.Popen[bytes], mark: Path | None, name: str
) -> int:
    """Return the exit status. ``mark`` is the file by which fail-fast reports that it ends the server, if it is on."""
    if server.poll() is None and mark is not None:
        # The last request of the second command may have failed.
        limit = _FAILFAST_LIMIT_AFTER_FAILURE if second.poll() else _FAILFAST_LIMIT
        ended = f"{name} ended with exit status {_status_of(second)}"
        say(f"{ended}; fail-fast waits {limit:.0f} s for an error of the server")
        if _wait_for_mark(server, mark, limit):
            say(f"a request failed, but the server did not end within {_FAILED_END_LIMIT:.0f} s", ERROR)
            return int(ExitStatus.FAILED)
    if server.poll() is None:
        return _status_of(second)
    status = _status_of(server)
    if status:
        say(f"the server ended with exit status {status}", ERROR)
        return status
    if second.poll() is not None:
        return _status_of(second)
    say("the server ended with exit status 0 before the second command did", ERROR)
    return int(ExitStatus.FAILED)


def _wait_for_mark(server: subprocess.Popen[bytes], mark: Path, limit: float) -> bool:
    """Wait for the end of ``server``, if it reports one within ``limit`` s. Return whether it then goes on running."""
    deadline = time.monotonic() + limit
    while server.poll() is None and time.monotonic() < deadline:
        if mark.exists():
            _wait(server, _FAILED_END_LIMIT)
            return server.poll() is None
        time.sleep(_POLL_INTERVAL)
    return False


def _status_of(process: subprocess.Popen[bytes]) -> int:
    return process.returncode if process.returncode >= 0 else _SIGNALLED - process.returncode


def _let_end(running: list[subprocess.Popen[bytes]], number: int) -> None:
    """Let the programs end after a signal. Ctrl-C in a terminal has reached them too, other signals have not."""
    has_reached_them = number == signal.SIGINT and (os.name == "nt" or sys.stdin.isatty())
    for process in running:
        if not has_reached_them:
            process.send_signal(number)
    for process in running:
        _wait(process, _END_LIMIT)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        _wait(process, _END_LIMIT)
    if process.poll() is None:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], limit: float) -> None:
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        pass
