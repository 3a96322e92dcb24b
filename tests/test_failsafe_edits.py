"""Fail-safe while files are edited: random truncations, many breakages in a row, and the terminal."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import termios
import time

import pytest
from breakages import BREAKAGES, repaired, save
from harness import TIMEOUT, clean_environment, free_port, wait_for
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from servers import BY_ID, EACH_RELOADER
from test_failsafe import ON, stop_with_ctrl_c, wait_for_version, wait_until_broken

EDITED = {
    "django": ("manage.py", "site_under_test/settings.py", "site_under_test/urls.py", "shop/models.py"),
    "flask": ("flask_site.py", "django_site/site_under_test/gauge.py"),
    "bare": ("bare_site.py", "django_site/site_under_test/gauge.py"),
}


@pytest.mark.slow
@pytest.mark.long
@EACH_RELOADER
class TestEdits:
    def test_random_truncations(self, serve_copy, mode):
        """
        1. Truncate one of a project's files at a random place, as if an editor had saved only a part of it.
        2. The session is alive.
        3. When the file is complete again, the session serves it.
        """
        server, _source = serve_copy(mode, **ON)
        whole = {file: (server.directory / file).read_text() for file in EDITED[mode.site]}
        versions = iter(range(1, 1000))

        @settings(
            max_examples=6,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.sampled_from(sorted(whole)), st.floats(0, 1), st.booleans())
        def truncate(file, where, in_place):
            path, text = server.directory / file, whole[file]
            half = text[: int(len(text) * where)]
            path.write_text(half) if in_place else save(path, half)
            time.sleep(0.5)
            assert server.process.poll() is None, server.stderr
            version = next(versions)
            text = repaired(text, version)
            path.write_text(text) if in_place else save(path, text)
            wait_for_version(server, version)

        truncate()
        stop_with_ctrl_c(server)

    def test_twenty_breakages_in_a_row(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        for number in range(20):
            breakage = BREAKAGES[number % len(BREAKAGES)]
            save(source, breakage.apply(f"# {number}\n{whole}"))
            wait_until_broken(server, breakage.message)
        save(source, repaired(whole, 20))
        wait_for_version(server, 20)
        stop_with_ctrl_c(server)


class Terminal:
    """A command in its own pseudo-terminal, as a developer starts it."""

    def __init__(self, command, directory, environ):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.text = ""

    def read_until(self, text, after=0):
        def is_there():
            while select.select([self.master], [], [], 0)[0]:
                try:
                    self.text += os.read(self.master, 65536).decode(errors="replace")
                except OSError:
                    break
            return text in self.text[after:]

        wait_for(is_there, lambda: f"{text!r} in {self.text}")
        return len(self.text)

    def type(self, text):
        os.write(self.master, text)

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.master)[3] & termios.ECHO)


@pytest.mark.long
@pytest.mark.modes(choose=lambda mode: mode.id in ("runserver-reload", "run_simple-reload"))
class TestTerminal:
    def start(self, mode, project, **variables):
        port = free_port()
        environ = clean_environment(TERM="xterm", **{**mode.environ, **ON, **variables})
        return Terminal(mode.command(port), project, environ), port

    def test_enter_starts_a_worker_and_the_echo_is_restored(self, mode, tmp_path):
        """
        1. A worker dies while the terminal's echo is off, as in a debugger or at a password prompt.
        2. The echo is on again. Enter starts a worker. An Enter that was typed earlier does not.
        3. Ctrl-C ends all processes and leaves the terminal as it was.
        """
        project = tmp_path / "project"
        shutil.copytree(mode.directory, project)
        source = project / {"django": "site_under_test/views.py", "bare": "bare_site.py"}[mode.site]
        terminal, _port = self.start(mode, project)
        terminal.read_until("Quit the server" if mode.site == "django" else "Restarting with")
        time.sleep(2.5)
        terminal.type(b"\n\n")
        silent = "import os, sys, tty, termios\nif os.environ.get('RUN_MAIN') or os.environ.get('WERKZEUG_RUN_MAIN'):\n"
        silent += (
            "    a = termios.tcgetattr(0); a[3] &= ~termios.ECHO; termios.tcsetattr(0, 0, a); os._exit(9)\n"
        )
        whole = source.read_text()
        save(source, silent + whole)
        position = terminal.read_until("Enter starts it again, Ctrl-C quits")
        assert terminal.echoes()
        time.sleep(1)
        assert terminal.read_until("exit status 9") == position
        terminal.type(b"\n")
        again = terminal.read_until("Enter starts it again", after=position)
        save(source, whole)
        terminal.read_until("changed, starting again", after=again)
        terminal.read_until("Quit the server" if mode.site == "django" else "Restarting with", after=again)
        time.sleep(1)
        terminal.type(b"\x03")
        assert terminal.process.wait(TIMEOUT) == 0
        assert terminal.echoes()

    @pytest.mark.modes(
        choose=lambda mode: mode.id == "runserver-reload"
    )  # With Werkzeug the system stops the worker.
    def test_in_the_background_it_does_not_read_the_terminal(self, mode, tmp_path):
        """The system stops a background process that reads from the terminal."""
        project = tmp_path / "project"
        shutil.copytree(mode.directory, project)
        source = project / "site_under_test/views.py"
        terminal = Terminal(["bash", "-i"], project, clean_environment(TERM="xterm", PS1="$ ", **ON))
        port = free_port()
        terminal.type((" ".join(mode.command(port)) + " &\n").encode())
        terminal.read_until("Quit the server")
        time.sleep(2.5)
        whole = source.read_text()
        save(source, whole + "\ndef (\n")
        position = terminal.read_until("Ctrl-C quits")
        terminal.type(b"echo still $((40 + 2))\n")
        terminal.read_until("still 42", after=position)
        save(source, whole)
        terminal.read_until("changed, starting again", after=position)
        terminal.type(b"kill %1; wait; exit\n")
        terminal.process.wait(TIMEOUT)


@pytest.mark.long
def test_the_colours_are_those_of_the_framework(tmp_path):
    """A worker prints the same bytes to a terminal with the switch as without it."""
    mode = BY_ID.get("runserver-reload")
    if mode is None:
        pytest.skip("no Django")
    seen = []
    for variables in ({}, ON):
        environ = clean_environment(TERM="xterm", **variables)
        port = free_port()
        terminal = Terminal(mode.command(port), mode.directory, environ)
        terminal.read_until("Quit the server")
        terminal.process.send_signal(signal.SIGINT)
        time.sleep(1)
        terminal.read_until("")
        os.killpg(terminal.process.pid, signal.SIGKILL)
        lines = [line for line in terminal.text.splitlines() if "devpatch: " not in line]
        seen.append([line.replace(str(port), "PORT") for line in lines if ":" not in line or "http" in line])
    assert seen[0] == seen[1]
