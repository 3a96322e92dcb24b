"""DEVPATCH_FAILSAFE, for every server, file and breakage: it survives, answers and recovers."""

from __future__ import annotations

import pytest
from breakages import BREAKAGES, files_of, repaired, save
from harness import POLL_INTERVAL, wait_for
from servers import MODES, select_modes

RELOADING = [mode for mode in MODES if "reload" in mode.marks and "nothreading" not in mode.mode]
ON = {"DEVPATCH_FAILSAFE": "1", "SITE_APPS": "shop"}


def pytest_generate_tests(metafunc):
    if "file" in metafunc.fixturenames:
        config = metafunc.config
        cases = [
            (mode, file)
            for mode in select_modes(RELOADING, config, variations=False)
            for file in files_of(mode)
        ]
        if config.getoption("--short"):
            cases = list({mode.server: (mode, file) for mode, file in reversed(cases)}.values())
        metafunc.parametrize("mode,file", cases, ids=lambda value: getattr(value, "id", value))


def status_of(server, path="/ok/") -> int:
    """Send one request and return the status. A refused connection or an incomplete response raises."""
    response = server.get(path)
    assert response.status in (200, 500), f"{response}\n{server.stderr}"
    return response.status


def wait_until_broken(server, message=""):
    def is_broken():
        response = server.get("/ok/")
        assert response.status in (200, 500), f"{response}\n{server.stderr}"
        return response.status == 500 and message.encode() in response.body

    wait_for(
        is_broken, lambda: f"the answer {message!r}; stderr so far:\n{server.stderr}", interval=POLL_INTERVAL
    )
    wait_for(lambda: is_waiting(server), "the line that it waits for a change")


def is_waiting(server) -> bool:
    lines = [line for line in server.stderr.splitlines() if line.startswith("devpatch: fail-safe: ")]
    return bool(lines) and "waiting for a change in" in lines[-1]


def wait_for_version(server, version):
    def is_there():
        response = server.get("/version/")
        assert response.status in (200, 500), f"{response}\n{server.stderr}"
        return response.status == 200 and response.body == str(version).encode()

    wait_for(is_there, lambda: f"version {version}; stderr so far:\n{server.stderr}", interval=POLL_INTERVAL)


def is_reported_once(text, output) -> bool:
    """Whether ``output`` has ``text`` and at most one traceback, which may be a chain of exceptions."""
    links = output.count("During handling of the above") + output.count("was the direct cause of")
    links += output.count("While importing")  # Flask's exception quotes its cause.
    # runserver_plus also prints the error in a separate line, before the traceback.
    lines = [line for line in output.splitlines() if "Error occurred during checks" not in line]
    # The waiting line names the error once more, or once if there is no traceback.
    waiting = [line for line in lines if "waiting for a change in" in line]
    count = sum(text in line for line in lines if line not in waiting) or sum(
        text in line for line in waiting
    )
    return 1 <= count <= 1 + links and output.count("Traceback (most recent call last)") <= 1 + links


def stop_with_ctrl_c(server):
    server.interrupt()
    assert server.exit_status() == 0, server.stderr
    server.assert_nothing_left()
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def breakages_of(file, mode, config):
    """Return the breakages for ``file``. Each is tested in one file of a server, with --all in every file."""
    if config.getoption("--all"):
        return BREAKAGES
    if config.getoption("--short"):
        return [breakage for breakage in BREAKAGES if breakage.name in ("syntax", "exit text")]
    files = files_of(mode)
    parts = min(4, len(files))
    return BREAKAGES[files.index(file) % parts :: parts]


@pytest.mark.slow
class TestBreakages:
    def test_it_survives_and_answers_and_recovers(self, serve_copy, mode, file, pytestconfig):
        """
        1. Break a file in several ways, one after the other, in one session.
        2. Each time, the same address answers with the error, and the terminal shows it once.
        3. Each time, the repaired code is served next. At the end Ctrl-C stops all processes.
        """
        server, _source = serve_copy(mode, **ON)
        path = server.directory / file
        whole = path.read_text()
        for version, breakage in enumerate(breakages_of(file, mode, pytestconfig), start=1):
            before = len(server.stderr)
            save(path, breakage.apply(whole))
            wait_until_broken(server, breakage.message)
            new = server.stderr[before:]
            assert not breakage.message or is_reported_once(breakage.message, new), new
            assert "devpatch/" not in new.replace(str(server.directory), ""), new
            save(path, repaired(whole, version))
            wait_for_version(server, version)
            assert server.process.poll() is None
        stop_with_ctrl_c(server)
