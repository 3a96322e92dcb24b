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


@pytest.mark.parametrize("framework", ["django", "flask"])
@pytest.mark.parametrize("name", STOPS)
def test_a_prompt_is_not_killed(tmp_path, framework, name):
    """
    1. A request stops in a prompt. A file changes.
    2. One line says that the reload waits. The prompt still answers.
    3. The program goes on, and the new code is served.
    """
    pytest.importorskip(framework)
    if name in ("ipdb", "IPython"):
        pytest.importorskip(name)
    stop = f"def stops({'request' if framework == 'django' else ''}):\n    x = 41\n    {STOPS[name]}\n"
    if framework == "django":
        files, command = django_files(views=f"{stop}    return _Response('went on')\n"), RUNSERVER
        changed = ("views.py", VIEWS.format(version=7) + f"{stop}    return _Response('went on')\n")
    else:
        tail = f"@app.get('/stops/')\n{stop}    return 'went on'\n"
        files, command = flask_files(tail=tail), (*FLASK_RUN, "--debug")
        changed = ("app.py", flask_files(version=7, tail=tail)["app.py"])
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    port = free_port()
    arguments = [argument.format(port=port) for argument in command]
    environ = clean_environment(TERM="xterm", IPYTHONDIR=str(tmp_path / "ipython"), **ON)
    terminal = Terminal([sys.executable, *arguments], tmp_path, environ)
    client = Client(port)
    client.wait_for("/ok/", b"ok")
    time.sleep(3)
    request = client.send("/stops/")
    stopped = terminal.read_until(PROMPTS[name])
    save(tmp_path / changed[0], changed[1])
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
