"""A reload waits while a prompt or a debugger has stopped the program."""

from __future__ import annotations

import socket
import sys
import time

import pytest
from breakages import save
from harness import TIMEOUT, clean_environment, free_port, receive, wait_for
from projects import FLASK_RUN, RUNSERVER, VIEWS, django_files, flask_files
from test_failsafe import ON
from test_failsafe_edits import Terminal

from devpatch.features.failsafe.worker.slow_load import LIMIT


class Client:
    """Sends requests to a port."""

    def __init__(self, port):
        self.port = port

    def send(self, path):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        return connection

    def read(self, connection):
        with connection:
            return receive(connection)

    def wait_for(self, path, body):
        def is_there():
            try:
                return self.read(self.send(path)).endswith(body)
            except OSError:
                return False

        wait_for(is_there, f"{body!r} at {path}")


pytestmark = pytest.mark.long
STOPS = {
    "pdb": "import pdb; pdb.set_trace()",
    "code": "import code; code.interact(banner='a prompt', local={'x': 41})",
    "ipdb": "import ipdb; ipdb.set_trace()",
    "IPython": "import IPython; IPython.embed(colors='NoColor', banner1='a prompt')",
}
PROMPTS = {"pdb": "(Pdb)", "code": ">>>", "ipdb": "ipdb>", "IPython": "In ["}
GO_ON = {"pdb": b"c\n", "code": b"\x04", "ipdb": b"c\r", "IPython": b"exit\r"}


def project(framework, name, version=0):
    """Return the files, the command, and the name of the file with the view that stops in a prompt."""
    stop = f"def stops({'request' if framework == 'django' else ''}):\n    x = 41\n    {STOPS[name]}\n"
    if framework == "django":
        views = VIEWS.format(version=version) + f"{stop}    return _Response('went on')\n"
        return {**django_files(), "views.py": views}, RUNSERVER, "views.py"
    tail = f"@app.get('/stops/')\n{stop}    return 'went on'\n"
    return flask_files(version=version, tail=tail), (*FLASK_RUN, "--debug"), "app.py"


def start(files, command, folder, shell=(), **variables):
    """Write the project and start its server in a terminal. Return the terminal and a client of the server."""
    for file, text in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text)
    port = free_port()
    arguments = [sys.executable, *(argument.format(port=port) for argument in command)]
    environ = clean_environment(TERM="xterm", IPYTHONDIR=str(folder / "ipython"), **variables)
    terminal = Terminal(shell or arguments, folder, environ)
    if shell:
        terminal.type(" ".join(arguments).encode() + b"\n")
    return terminal, Client(port)


@pytest.fixture
def _needed(framework, name):
    pytest.importorskip(framework)
    if name in ("ipdb", "IPython"):
        pytest.importorskip(name)


@pytest.mark.usefixtures("_needed")
@pytest.mark.parametrize("framework", ["django", "flask"])
@pytest.mark.parametrize("name", STOPS)
def test_a_prompt_is_not_killed(tmp_path, framework, name):
    """
    1. A request stops in a prompt. A file changes.
    2. One line says that the reload waits. The prompt still answers.
    3. The program goes on, and the new code is served.
    """
    files, command, changed = project(framework, name)
    terminal, client = start(files, command, tmp_path, **ON)
    client.wait_for("/ok/", b"ok")
    time.sleep(3)
    request = client.send("/stops/")
    stopped = terminal.read_until(PROMPTS[name])
    save(tmp_path / changed, project(framework, name, version=7)[0][changed])
    waits = terminal.read_until("the reload waits", after=stopped)
    time.sleep(2)
    terminal.type(b"x + 1000\n" if name in ("pdb", "code") else b"x + 1000\r")
    terminal.read_until("1041", after=waits)
    terminal.type(GO_ON[name])
    assert b"went on" in client.read(request)
    client.wait_for("/version/", b"7")
    assert terminal.text.count("the reload waits") == 1
    terminal.type(b"\x03")
    terminal.process.wait(40)


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_a_prompt_in_code_that_loads_is_not_killed(tmp_path, framework):
    """
    1. A module stops in pdb while a worker loads it. It stands there longer than a slow load takes.
    2. The module changes. One line says that the reload waits. The prompt still answers.
    3. The program goes on, and the new code is served.
    """
    pytest.importorskip(framework)
    files, command, changed = project(framework, "pdb")
    stop = "import os\nif {'RUN_MAIN', 'WERKZEUG_RUN_MAIN'} & {*os.environ}:\n    x = 41; breakpoint()\n"
    files[changed] += stop
    terminal, client = start(files, command, tmp_path, **ON)
    terminal.read_until("(Pdb)")
    time.sleep(LIMIT + 1)
    save(tmp_path / changed, project(framework, "pdb", version=7)[0][changed])
    waits = terminal.read_until("the reload waits")
    time.sleep(2)
    terminal.type(b"x + 1000\n")
    terminal.read_until("1041", after=waits)
    terminal.type(b"c\n")
    client.wait_for("/version/", b"7")
    assert terminal.text.count("the reload waits") == 1
    assert "still loads" not in terminal.text
    terminal.type(b"\x03")
    terminal.process.wait(40)


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_a_prompt_that_opens_while_the_worker_ends_is_not_killed(tmp_path, framework):
    """
    1. A request takes a moment. A file changes, and the worker begins to end for the reload.
    2. The request comes to a prompt. It stays there longer than a reload may take, and still answers.
    3. The program goes on. The request gets its whole answer, and the new code is served.
    """
    pytest.importorskip(framework)
    files, command, changed = project(framework, "pdb")
    files[changed] = files[changed].replace("    x = 41\n", "    import time; time.sleep(1.6); x = 41\n")
    terminal, client = start(files, command, tmp_path, **ON)
    client.wait_for("/ok/", b"ok")
    time.sleep(3)
    request = client.send("/stops/")
    save(tmp_path / changed, project(framework, "pdb", version=7)[0][changed])
    waits = terminal.read_until("(Pdb)")
    time.sleep(8)
    terminal.type(b"x + 1000\n")
    terminal.read_until("1041", after=waits)
    terminal.type(b"c\n")
    assert b"went on" in client.read(request)
    client.wait_for("/version/", b"7")
    assert terminal.text.count("the reload waits") == 1
    assert "did not end for the reload" not in terminal.text
    terminal.type(b"\x03")
    terminal.process.wait(40)


class TestKeys:
    """The keys do the same with the switch as without it."""

    @pytest.fixture(params=[False, True], ids=["off", "on"])
    def is_on(self, request):
        return request.param

    @pytest.fixture
    def in_prompt(self, is_on, framework, name, _needed, tmp_path):
        """Start a server from a shell, and stop a request in a prompt. Return the terminal, its client, the request."""
        files, command, _ = project(framework, name)
        shell = ["bash", "--norc", "--noediting", "-i"]
        terminal, client = start(files, command, tmp_path, shell, PS1="SHELL$ ", **(ON if is_on else {}))
        client.wait_for("/ok/", b"ok")
        time.sleep(3)
        stopped = client.send("/stops/")
        terminal.read_until(PROMPTS[name])
        time.sleep(1)
        yield terminal, client, stopped
        terminal.process.kill()

    @pytest.mark.parametrize(("framework", "name"), [("django", "pdb"), ("flask", "IPython")])
    def test_ctrl_z_stops_the_server_and_fg_goes_back_to_the_prompt(self, in_prompt, name):
        terminal, client, request = in_prompt
        terminal.type(b"\x1a")
        stopped = terminal.read_until("Stopped")
        terminal.type(b"echo $((40 + 2)) in the shell; fg\n")
        shell = terminal.read_until("42 in the shell", after=stopped)
        time.sleep(2)
        terminal.type(b"x + 1000\n" if name == "pdb" else b"x + 1000\r")
        terminal.read_until("1041", after=shell)
        terminal.type(GO_ON[name])
        assert b"went on" in client.read(request)
        terminal.type(b"\x03")

    @pytest.mark.parametrize(("framework", "name"), [("django", "pdb"), ("flask", "pdb")])
    def test_ctrl_d_in_pdb_ends_the_request(self, in_prompt):
        terminal, client, request = in_prompt
        terminal.type(b"\x04")
        terminal.read_until("BdbQuit")
        assert b" 500 " in client.read(request)
        client.wait_for("/ok/", b"ok")
        assert terminal.echoes()
        terminal.type(b"\x03")

    @pytest.mark.parametrize(("framework", "name"), [("django", "pdb"), ("flask", "pdb")])
    def test_ctrl_c_in_pdb_ends_the_server(self, in_prompt, is_on):
        terminal, _client, request = in_prompt
        before = len(terminal.text)
        terminal.type(b"\x03")
        shell = terminal.read_until("SHELL$", after=before)
        request.close()
        terminal.type(b"echo $((40 + 2)) in the shell\n")
        terminal.read_until("42 in the shell", after=shell)
        if is_on:  # Without the switch, the terminal stays as pdb has set it.
            assert terminal.echoes()

    @pytest.mark.parametrize(("framework", "name"), [("flask", "IPython")])
    def test_ctrl_c_in_ipython_only_clears_the_line(self, in_prompt, name):
        terminal, client, request = in_prompt
        terminal.type(b"y = \x03")
        time.sleep(1)
        terminal.type(b"x + 1000\r")
        terminal.read_until("1041")
        terminal.type(GO_ON[name])
        assert b"went on" in client.read(request)
        terminal.type(b"\x03")
