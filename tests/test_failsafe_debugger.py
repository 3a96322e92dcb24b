"""A reload waits while an editor's debugger has stopped the program: debugpy, which is pydevd, with a real client."""

from __future__ import annotations

import time

import pytest
from breakages import save
from debug_client import DebugClient, DebuggerIsSilent
from harness import TIMEOUT, free_port, wait_for
from projects import FLASK_RUN, RUNSERVER, VIEWS, django_files, flask_files
from test_failsafe import ON
from test_messages import messages_of

pytestmark = pytest.mark.long
WAITS = "the reload waits"
DJANGO_VIEW = "def stops(request):\n    x = 41\n    return _Response(str(x))  # here\n"
FLASK_VIEW = "@app.get('/stops/')\ndef stops():\n    x = 41\n    return str(x)  # here\n"


def project(framework, version):
    """Return the files, the command, and the name of the file with the view that stops."""
    if framework == "django":
        files = {**django_files(), "views.py": VIEWS.format(version=version) + DJANGO_VIEW}
        return files, RUNSERVER, "views.py"
    return flask_files(version=version, tail=FLASK_VIEW), (*FLASK_RUN, "--debug"), "app.py"


@pytest.mark.parametrize("framework", ["django", "flask"])
def test_a_stopped_program_is_not_killed(serve_project, framework):
    """
    1. An editor starts the server under debugpy. It attaches to the parent, then to the worker.
    2. A request stops at a breakpoint. A file changes. One line says that the reload waits.
    3. The program still stands there. It goes on, the request is answered, and the new code is served.
    """
    pytest.importorskip("debugpy")
    pytest.importorskip(framework)
    files, command, name = project(framework, version=0)
    debug_port = free_port()
    debugged = ("-Xfrozen_modules=off", "-m", "debugpy", "--listen", str(debug_port), "--wait-for-client")
    server = serve_project(files, *debugged, *command, wait=False, **ON)
    parent = DebugClient(debug_port)
    parent.request("configurationDone")
    first = parent.wait_for_event("debugpyAttach")
    try:
        worker = DebugClient(debug_port, first)
    except DebuggerIsSilent:
        pytest.skip("debugpy did not answer")
    line = next(n for n, text in enumerate(files[name].splitlines(), 1) if text.endswith("# here"))
    worker.set_breakpoint(server.directory / name, line)
    server.wait_until_ready()
    time.sleep(3)  # until the supervisor leaves the files to the framework's reloader
    request = server.send("/stops/", headers=["Connection: close"])
    stopped = worker.wait_for_event("stopped")
    save(server.directory / name, project(framework, version=7)[0][name])
    wait_for(lambda: WAITS in server.stderr, lambda: server.stderr)
    time.sleep(3)
    assert worker.evaluate(stopped, "x + 1000") == "1041"
    worker.go_on(stopped)
    request.settimeout(TIMEOUT)
    with request:
        assert request.makefile("rb").read().endswith(b"41")
    next_worker = DebugClient(debug_port, parent.wait_for_event("debugpyAttach", count=2))
    next_worker.request("configurationDone")
    wait_for(lambda: server.get("/version/").body == b"7", lambda: server.stderr, interval=0.5)
    assert sum(WAITS in message for message in messages_of(server)) == 1
    server.kill()
