"""In real environments: fail-fast with the newest wrapt, the oldest wrapt, and without a usable wrapt."""

from __future__ import annotations

import os

import pytest
from harness import APPS, DevServer, clean_environment, free_port
from installing import SERVER_IMPORT

pytestmark = pytest.mark.packaging


@pytest.fixture
def serve(tmp_path):
    """Start a wsgiref server with an environment's interpreter. It is killed at the end of the test."""
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
    """Return the lines of stderr without the server's request log."""
    return [line for line in server.stderr.splitlines() if not line.startswith("127.0.0.1 - - ")]


BROKEN = {
    "RuntimeError": "raise RuntimeError('wrapt is\\nout of order')",
    "SyntaxError": "def (",
    "SystemExit": "raise SystemExit(0)",
    "another module": "'''Somebody's own wrapt.py.'''",
}


@pytest.fixture(params=["missing", *BROKEN])
def without_usable_wrapt(request, tmp_path):
    """Return an environment and variables for it with which wrapt can't be used."""
    if request.param == "missing":
        return request.getfixturevalue("environment_without_wrapt"), {}
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "wrapt.py").write_text(BROKEN[request.param])
    return request.getfixturevalue("environment"), {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("code", ["import http.server", SERVER_IMPORT])
def test_without_wrapt_an_ordinary_program_runs(without_usable_wrapt, code):
    environment, variables = without_usable_wrapt
    result = environment.run("-c", f"{code}; print('fine')", DEVPATCH_FAILFAST="1", **variables)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")


@pytest.mark.parametrize("value", ["1", "ture"])
def test_without_wrapt_a_server_with_fail_fast_does_not_start(without_usable_wrapt, serve, value):
    """If fail-fast is on, the message names wrapt. If the value is bad, it names the variable."""
    environment, variables = without_usable_wrapt
    server = serve(environment, DEVPATCH_FAILFAST=value, **variables)
    assert server.exit_status() == 2
    (line,) = server.stderr.splitlines()
    assert line.startswith("devpatch:")
    assert ("wrapt" if value == "1" else "DEVPATCH_FAILFAST='ture'") in line


def test_without_wrapt_a_server_without_fail_fast_runs_with_one_message(without_usable_wrapt, serve):
    environment, variables = without_usable_wrapt
    server = serve(environment, DEVPATCH_FALFAST="1", **variables).wait_until_ready()
    assert server.get("/ok/").body == b"ok"
    (line,) = messages(server)
    assert line.startswith("devpatch:")
    assert "wrapt" in line


def test_without_wrapt_a_server_with_all_switches_off_is_silent(without_usable_wrapt, serve):
    environment, variables = without_usable_wrapt
    server = serve(environment, DEVPATCH_FAILFAST="0", **variables).wait_until_ready()
    assert messages(server) == []


# --- Without stderr --------------------------------------------------------------------------------------

CLOSE_STDERR = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec that replaces the process")
def test_a_closed_stderr_does_not_prevent_a_start(without_usable_wrapt, environment):
    """With wrapt and without it, stdout has only the output of the program."""
    program = (
        "-c",
        CLOSE_STDERR,
        "-c",
        f"import sys; assert sys.stderr is None; {SERVER_IMPORT}; print('fine')",
    )
    broken, variables = without_usable_wrapt
    usual = environment.run(*program, DEVPATCH_FAILFAST="1")
    assert (usual.returncode, usual.stdout.strip()) == (0, "fine")
    result = broken.run(*program, DEVPATCH_FAILFAST="1", **variables)
    assert (result.returncode, result.stdout.strip()) == (0, "fine")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec that replaces the process")
def test_a_closed_stderr_does_not_hide_a_refusal(environment_without_wrapt):
    site = (str(APPS / "bare_site.py"), str(free_port()), "wsgiref")
    result = environment_without_wrapt.run("-c", CLOSE_STDERR, *site, DEVPATCH_FAILFAST="1")
    assert (result.returncode, result.stdout) == (2, "")


# --- Versions of wrapt -----------------------------------------------------------------------------------


def assert_fails_fast(server):
    assert server.wait_until_ready().get("/view").status == 500
    assert server.exit_status() == 1
    assert any(line.startswith("devpatch:") and "boom in a view" in line for line in messages(server))


def test_fail_fast_works_as_installed(environment, serve):
    assert_fails_fast(serve(environment, DEVPATCH_FAILFAST="1"))


def test_fail_fast_works_with_the_oldest_wrapt(toolbox, serve):
    environment = toolbox.environment()
    try:
        toolbox.pip(environment, "install", toolbox.artifact(".whl"), "wrapt==1.16.*")
    except AssertionError as error:
        pytest.skip(f"wrapt 1.16 can't be installed on this Python: {str(error)[-200:]}")
    assert_fails_fast(serve(environment, DEVPATCH_FAILFAST="1"))
