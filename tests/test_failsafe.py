"""DEVPATCH_FAILSAFE over server x file x kind of breakage: it survives, answers with the error, and recovers."""

from __future__ import annotations

import pytest
from breakages import BREAKAGES, FILES, mended, save
from harness import ASKING, wait_for
from servers import MODES, chosen

RELOADING = [mode for mode in MODES if "reload" in mode.marks and "nothreading" not in mode.mode]
ON = {"DEVPATCH_FAILSAFE": "1", "SITE_APPS": "shop"}


def pytest_generate_tests(metafunc):
    if "file" in metafunc.fixturenames:
        config = metafunc.config
        cases = [
            (mode, file) for mode in chosen(RELOADING, config, variations=False) for file in FILES[mode.site]
        ]
        if config.getoption("--short"):
            cases = list({mode.server: (mode, file) for mode, file in reversed(cases)}.values())
        metafunc.parametrize("mode,file", cases, ids=lambda value: getattr(value, "id", value))


def status_of(server, path="/ok/") -> int:
    """Ask once; a connection that is refused, or an answer that is cut, is an error of its own."""
    response = server.get(path)
    assert response.status in (200, 500), f"{response}\n{server.stderr}"
    return response.status


def until_broken(server, says=""):
    def is_broken():
        response = server.get("/ok/")
        assert response.status in (200, 500), f"{response}\n{server.stderr}"
        return response.status == 500 and says.encode() in response.body

    wait_for(is_broken, lambda: f"the answer {says!r}; stderr so far:\n{server.stderr}", every=ASKING)
    wait_for(lambda: waits(server), "the line that says what it waits for")


def waits(server) -> bool:
    lines = [line for line in server.stderr.splitlines() if line.startswith("devpatch: fail-safe: ")]
    return bool(lines) and "waiting for a change in" in lines[-1]


def until_version(server, version):
    def is_there():
        response = server.get("/version/")
        assert response.status in (200, 500), f"{response}\n{server.stderr}"
        return response.status == 200 and response.body == str(version).encode()

    wait_for(is_there, lambda: f"version {version}; stderr so far:\n{server.stderr}", every=ASKING)


def is_told_once(text, output) -> bool:
    """Whether ``text`` is told, and one traceback at most, be it a chain of them."""
    links = output.count("During handling of the above") + output.count("was the direct cause of")
    links += output.count("While importing")  # Flask's exception quotes the one that led to it.
    # runserver_plus says it in a line of its own, before the traceback.
    told = sum(text in line and "Error occurred during checks" not in line for line in output.splitlines())
    return 1 <= told <= 1 + links and output.count("Traceback (most recent call last)") <= 1 + links


def end_with_ctrl_c(server):
    server.interrupt()
    assert server.exit_status() == 0, server.stderr
    server.assert_nothing_left()
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def breakages_of(file, mode, config):
    """Each server meets each breakage in some file of its site; with --all, in each of them."""
    if config.getoption("--all"):
        return BREAKAGES
    if config.getoption("--short"):
        return [breakage for breakage in BREAKAGES if breakage.name in ("syntax", "exit text")]
    files = FILES[mode.site]
    parts = min(4, len(files))
    return BREAKAGES[files.index(file) % parts :: parts]


@pytest.mark.slow
class TestBreakages:
    def test_it_survives_answers_and_recovers(self, serve_copy, mode, file, pytestconfig):
        """
        1. Break a file in several ways, one after the other, in one session.
        2. Each time the same address answers with the error, and the terminal has it once.
        3. Each time the mended file's code is served next; then Ctrl-C ends it all.
        """
        server, _source = serve_copy(mode, **ON)
        path = server.directory / file
        whole = path.read_text()
        for version, breakage in enumerate(breakages_of(file, mode, pytestconfig), start=1):
            said = len(server.stderr)
            save(path, breakage.make(whole))
            until_broken(server, breakage.says)
            new = server.stderr[said:]
            assert not breakage.says or is_told_once(breakage.says, new), new
            assert "devpatch/" not in new.replace(str(server.directory), ""), new
            save(path, mended(whole, version))
            until_version(server, version)
            assert server.process.poll() is None
        end_with_ctrl_c(server)
