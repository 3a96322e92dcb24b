"""Variables that the program sets after Python has started: they work and say so, or they say why they do not."""

from __future__ import annotations

import pytest
from harness import wait_for
from projects import FLASK_RUN, RUNSERVER, django_files, flask_files
from test_messages import messages_of

pytestmark = pytest.mark.long
SET = "import os; os.environ.setdefault({name!r}, {value!r})"


def starts(name, value="1"):
    """Return the ways to set the variable late: the arguments of ``serve_project``."""
    flask = (*FLASK_RUN, "--debug")
    return {
        ".flaskenv": ({**flask_files(), ".flaskenv": f"{name}={value}\n"}, *flask),
        ".env": ({**flask_files(), ".env": f"{name}={value}\n"}, *flask),
        "manage.py": (django_files(manage=SET.format(name=name, value=value)), *RUNSERVER),
        "settings": (django_files(settings=SET.format(name=name, value=value)), *RUNSERVER),
    }


WAYS = list(starts("X"))


@pytest.fixture(autouse=True)
def _needed(request):
    pytest.importorskip("dotenv")
    pytest.importorskip("django")
    pytest.importorskip("flask")


@pytest.mark.parametrize("way", WAYS)
def test_fail_fast_works_with_its_line(serve_project, way):
    server = serve_project(*starts("DEVPATCH_FAILFAST")[way])
    assert messages_of(server) == ["devpatch: fail-fast (exit 1)"]
    server.get("/view/")
    assert server.exit_status() == 1
    server.assert_nothing_left()


@pytest.mark.parametrize("way", WAYS)
def test_the_error_log_works_with_its_line(serve_project, way):
    server = serve_project(*starts("DEVPATCH_ERROR_LOG", "errors.jsonl")[way])
    assert messages_of(server) == ["devpatch: error log to errors.jsonl"]
    server.get("/view/")
    wait_for(lambda: (server.directory / "errors.jsonl").exists(), lambda: server.stderr)
    assert "boom in a view" in (server.directory / "errors.jsonl").read_text()


@pytest.mark.parametrize(
    ("name", "line"),
    [("DEVPATCH_THREADED", "threads"), ("DEVPATCH_EXC_INFO", "exc-info")],
)
@pytest.mark.parametrize("way", WAYS)
def test_others_have_their_line_too(serve_project, way, name, line):
    assert messages_of(serve_project(*starts(name)[way])) == [f"devpatch: {line}"]


@pytest.mark.parametrize("name", ["DEVPATCH_FAILSAFE", "DEVPATCH_FASTRELOAD"])
@pytest.mark.parametrize("way", WAYS)
def test_fail_safe_and_fast_reload_say_that_they_came_too_late(serve_project, way, name):
    """Fast reload turns fail-safe on, and the line names the variable that was set."""
    server = serve_project(*starts(name)[way])
    (line,) = messages_of(server)
    assert f"{name} came too late" in line
    assert "set it before Python starts" in line
    assert (f", from {way}: " in line) == way.startswith(".")


def test_runserver_does_not_read_dotenv(serve_project):
    server = serve_project({**django_files(), ".env": "DEVPATCH_FAILFAST=1\n"}, *RUNSERVER)
    assert server.get("/view/").status == 500
    assert server.get("/view/").status == 500
    assert messages_of(server) == []


def test_a_worker_of_a_patched_parent_says_nothing(serve_project):
    server = serve_project(django_files(), *RUNSERVER, DEVPATCH_FAILFAST="1")
    assert messages_of(server) == ["devpatch: fail-fast (exit 1)"]
