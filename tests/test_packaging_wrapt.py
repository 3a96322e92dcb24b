"""Installed in a real environment: fail-fast with the wrapt that is there, with another, and without a usable one."""

from __future__ import annotations

import os

import pytest
from harness import APPS, DevServer, clean_environment, free_port
from installing import SERVER_IMPORT

pytestmark = pytest.mark.packaging


@pytest.fixture
def serve(tmp_path):
    """Start a wsgiref server with an environment's interpreter; it is killed at the end of the test."""
    started = []

    def start(environment, **variables) -> DevServer:
        port = free_port()
        command = [str(environment.python), str(APPS / "bare_site.py"), str(port), "wsgiref"]
        server = DevServer(command, APPS, tmp_path, port, clean_environment(**variables))
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


def messages(server):
    """The lines of stderr that are not the server's log of requests."""
    return [line for line in server.stderr.splitlines() if not line.startswith("127.0.0.1 - - ")]


BROKEN = {
    "RuntimeError": "raise RuntimeError('wrapt is\\nout of order')",
    "SyntaxError": "def (",
    "SystemExit": "raise SystemExit(0)",
    "another module": "'''Somebody's own wrapt.py.'''",
}


@pytest.fixture(params=["missing", *BROKEN])
def wrapt_trouble(request, tmp_path):
    """An environment, and the variables to run it with, in which wrapt is unusable."""
    if request.param == "missing":
        return request.getfixturevalue("environment_without_wrapt"), {}
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "wrapt.py").write_text(BROKEN[request.param])
    return request.getfixturevalue("environment"), {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("code", ["import http.server", SERVER_IMPORT])
def test_without_wrapt_an_ordinary_program_runs(wrapt_trouble, code):
    environment, variables = wrapt_trouble
    result = environment.run("-c", f"{code}; print('fine')", DEVPATCH_FAILFAST="1", **variables)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")


@pytest.mark.parametrize("value", ["1", "ture"])
def test_without_wrapt_a_server_that_was_to_be_guarded_refuses(wrapt_trouble, serve, value):
    """1. Fail-fast is on: the line names wrapt. 2. The value is bad: the line names the variable."""
    environment, variables = wrapt_trouble
    server = serve(environment, DEVPATCH_FAILFAST=value, **variables)
    assert server.exit_status() == 2
    (line,) = server.stderr.splitlines()
    assert line.startswith("devpatch:")
    assert ("wrapt" if value == "1" else "DEVPATCH_FAILFAST='ture'") in line


def test_without_wrapt_a_server_that_needs_no_guard_runs_with_one_line(wrapt_trouble, serve):
    environment, variables = wrapt_trouble
    server = serve(environment, DEVPATCH_FALFAST="1", **variables).until_ready()
    assert server.get("/ok/").body == b"ok"
    (line,) = messages(server)
    assert line.startswith("devpatch:")
    assert "wrapt" in line


def test_without_wrapt_a_server_with_all_off_runs_in_silence(wrapt_trouble, serve):
    environment, variables = wrapt_trouble
    server = serve(environment, DEVPATCH_FAILFAST="0", **variables).until_ready()
    assert messages(server) == []


# --- Without stderr --------------------------------------------------------------------------------------

CLOSE_STDERR = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec that keeps the process")
def test_a_closed_stderr_does_not_break_a_start(wrapt_trouble, environment):
    """1. As usual. 2. With an unusable wrapt. stdout is the program's in both."""
    program = (
        "-c",
        CLOSE_STDERR,
        "-c",
        f"import sys; assert sys.stderr is None; {SERVER_IMPORT}; print('fine')",
    )
    troubled, variables = wrapt_trouble
    usual = environment.run(*program, DEVPATCH_FAILFAST="1")
    assert (usual.returncode, usual.stdout.strip()) == (0, "fine")
    result = troubled.run(*program, DEVPATCH_FAILFAST="1", **variables)
    assert (result.returncode, result.stdout.strip()) == (0, "fine")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec that keeps the process")
def test_a_closed_stderr_does_not_hide_a_refusal(environment_without_wrapt):
    site = (str(APPS / "bare_site.py"), str(free_port()), "wsgiref")
    result = environment_without_wrapt.run("-c", CLOSE_STDERR, *site, DEVPATCH_FAILFAST="1")
    assert (result.returncode, result.stdout) == (2, "")


# --- Versions of wrapt -----------------------------------------------------------------------------------


def fails_fast(server):
    assert server.until_ready().get("/view").status == 500
    assert server.exit_status() == 1
    assert any(line.startswith("devpatch:") and "boom in a view" in line for line in messages(server))


def test_fail_fast_works_as_installed(environment, serve):
    fails_fast(serve(environment, DEVPATCH_FAILFAST="1"))


def test_fail_fast_works_with_the_oldest_wrapt(toolbox, serve):
    environment = toolbox.environment()
    try:
        toolbox.pip(environment, "install", toolbox.artifact(".whl"), "wrapt==1.16.*")
    except AssertionError as error:
        pytest.skip(f"wrapt 1.16 can't be installed on this Python: {str(error)[-200:]}")
    fails_fast(serve(environment, DEVPATCH_FAILFAST="1"))
