"""watchdog 7 makes Werkzeug's reloader lose changes. Fail-safe uses the stat reloader instead, and says so."""

from __future__ import annotations

from importlib import metadata

import pytest
from breakages import save
from projects import FLASK_RUN, flask_files
from test_failsafe import ON, stop_with_ctrl_c, wait_for_version
from test_messages import messages_of


@pytest.fixture(autouse=True)
def _watchdog():
    pytest.importorskip("flask")
    pytest.importorskip("watchdog")
    if int(metadata.version("watchdog").partition(".")[0]) < 7:
        pytest.skip("an older watchdog")


def test_changes_are_seen_and_one_line_says_how(serve_project):
    server = serve_project(flask_files(), *FLASK_RUN, "--debug", **ON)
    for version in (1, 2):
        save(server.directory / "app.py", flask_files(version=version)["app.py"])
        wait_for_version(server, version)
    version = metadata.version("watchdog")
    assert messages_of(server) == [
        "devpatch: fail-safe",
        f"devpatch: fail-safe: watchdog {version} makes Werkzeug lose changes; the stat reloader watches the files",
    ]
    assert "Restarting with stat" in server.stderr
    assert "Restarting with watchdog" not in server.stderr
    stop_with_ctrl_c(server)


def test_the_reloader_that_the_program_chooses_is_left_alone(serve_project):
    files = flask_files(tail="app.run(port=int(__import__('sys').argv[1]), debug=True, reloader_type='stat')")
    server = serve_project(files, "app.py", "{port}", **ON)
    assert messages_of(server) == ["devpatch: fail-safe"]
    stop_with_ctrl_c(server)
