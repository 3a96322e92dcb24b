"""Fail-safe and loads of all kinds: failed checks, exits, slow ones, exec, threads that do not end, early saves."""

from __future__ import annotations

import json
import time

import pytest
from breakages import save
from harness import wait_for
from projects import FLASK_RUN, RUNSERVER, VIEWS, django_files, flask_files
from test_failsafe import ON, is_waiting, stop_with_ctrl_c, wait_for_version, wait_until_broken
from test_messages import messages_of

pytestmark = pytest.mark.long
FLASK = (*FLASK_RUN, "--debug")
MODELS = """from django.db import models


class Item(models.Model):
    name = models.CharField(max_length=20)
    price = models.CharField(max_length=-1)
"""


@pytest.fixture(autouse=True)
def _frameworks():
    pytest.importorskip("django")
    pytest.importorskip("flask")


def as_json(server):
    return json.loads(server.get("/ok/", headers=["Accept: application/json"]).body)


# While the file "hold" is there, Django's reloader does not take its first look at the files. If the same process
# still runs four seconds later, it writes the file "late".
HOLD_THE_FIRST_LOOK = """
import os, threading, time
from django.utils.autoreload import autoreload_started
def hold(**_):
    while os.path.exists("hold"):
        time.sleep(0.02)
    late = threading.Timer(4, lambda: open("late", "w").close())
    late.daemon = True
    late.start()
autoreload_started.connect(hold)
"""


class TestChecks:
    def test_a_failed_check_shows_the_field(self, serve_project, tmp_path):
        log = tmp_path / "errors"
        server = serve_project(django_files(), *RUNSERVER, **ON, DEVPATCH_ERROR_LOG=str(log))
        save(server.directory / "shop/models.py", MODELS)
        wait_until_broken(server, "SystemCheckError")
        found = as_json(server)
        assert found["summary"] == "1 system check failed"
        (problem,) = found["exceptions"][-1]["problems"]
        assert (problem["id"], problem["object"]) == ("fields.E121", "shop.Item.price")
        assert "max_length" in problem["message"]
        assert problem["place"]["file"].endswith("shop/models.py")
        assert problem["place"]["line"] == 6
        page = server.get("/ok/", headers=["Accept: text/html"]).body.decode()
        assert "<h1>1 system check failed</h1>" in page
        assert "shop/<b>models.py</b>, line 6" in page
        line = next(line for line in messages_of(server) if "waiting" in line)
        assert "1 system check failed: shop.Item.price in shop/models.py:6: " in line
        assert ".; waiting" not in line
        logged = json.loads(log.read_text().splitlines()[0])["exception"]["problems"][0]
        assert "max_length=-1" in logged["place"]["source"]
        save(server.directory / "shop/models.py", "")
        server.wait_until_ready()
        stop_with_ctrl_c(server)


class TestImportErrors:
    def test_flask_repeats_it(self, serve_project):
        """The exception of Flask's command line has the traceback of the ImportError as its message."""
        server = serve_project(flask_files(head="import not_there"), *FLASK, **ON, wait=False)
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        line = next(line for line in messages_of(server) if "waiting" in line)
        assert "ModuleNotFoundError in app.py:1: No module named 'not_there'; waiting" in line
        (link,) = as_json(server)["exceptions"]
        assert link["type"] == "ModuleNotFoundError"

    def test_django_wraps_it(self, serve_project):
        files = django_files(settings="WSGI_APPLICATION = 'wsgi.application'", wsgi="import not_there")
        server = serve_project(files, *RUNSERVER, **ON, wait=False)
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        line = next(line for line in messages_of(server) if "waiting" in line)
        assert "ModuleNotFoundError in wsgi.py:1: No module named 'not_there'; waiting" in line
        page = server.get("/ok/", headers=["Accept: text/html"]).body.decode()
        assert "<h1>No module named &#x27;not_there&#x27;</h1>" in page


class TestExits:
    def test_the_place_of_an_exit_is_shown(self, serve_project):
        server = serve_project(django_files(), *RUNSERVER, **ON)
        save(server.directory / "shop/models.py", "import sys\n\nsys.exit(0)\n")
        wait_until_broken(server)
        page = server.get("/ok/", headers=["Accept: text/html"]).body.decode()
        assert "<h1>sys.exit(0)</h1>" in page
        line = next(line for line in messages_of(server) if "waiting" in line)
        assert "sys.exit(0) in shop/models.py:3; waiting" in line
        stop_with_ctrl_c(server)

    def test_a_program_that_replaces_itself_stays_the_worker(self, serve_project):
        head = (
            "import os, sys\nif 'RUN_MAIN' in os.environ and 'AGAIN' not in os.environ:\n"
            "    os.execve(sys.executable, sys.orig_argv, {**os.environ, 'AGAIN': '1'})"
        )
        server = serve_project(django_files(settings=head), *RUNSERVER, **ON)
        views = server.directory / "views.py"
        save(views, VIEWS.format(version=1))
        wait_for_version(server, 1)
        save(views, "(\n")
        wait_until_broken(server, "SyntaxError")
        save(views, VIEWS.format(version=22))
        wait_for_version(server, 22)
        stop_with_ctrl_c(server)


class TestSlowLoads:
    def test_it_says_what_it_is_importing(self, serve_project):
        files = flask_files(
            slow="import os, time\nif os.path.exists('slow'): time.sleep(8)\n", head="import slow"
        )
        server = serve_project(files, *FLASK, **ON)
        (server.directory / "slow").touch()
        save(server.directory / "app.py", flask_files(head="import slow", version=11)["app.py"])
        wait_for_version(server, 11)
        lines = [line for line in messages_of(server) if "still loads" in line]
        assert lines == ["devpatch: fail-safe: the code still loads after 5 s: it is importing slow"]
        stop_with_ctrl_c(server)


class TestReloads:
    @pytest.mark.parametrize(
        ("head", "holder"),
        [
            ("import atexit, time\ndef hang(): time.sleep(1000)\natexit.register(hang)", "in hang"),
            (
                "import threading, time\ndef work(): time.sleep(1000)\nthreading.Thread(target=work).start()",
                "in work",
            ),
        ],
    )
    def test_what_holds_a_reload_is_named(self, serve_project, head, holder):
        server = serve_project(flask_files(head=head), *FLASK, **ON)
        time.sleep(3)  # until the supervisor leaves the files to Werkzeug's reloader
        save(server.directory / "app.py", flask_files(head=head, version=11)["app.py"])
        started = time.monotonic()
        wait_for_version(server, 11)
        assert time.monotonic() - started < 30
        lines = [line for line in messages_of(server) if "did not end for the reload" in line]
        assert len(lines) == 1, server.stderr
        assert f"app.py:2 {holder} was running" in lines[0]
        server.kill()

    def test_files_saved_at_the_start_of_workers_are_served(self, serve_project):
        """Django's reloader does not see a change that comes before its first look."""
        server = serve_project(django_files(), *RUNSERVER, **ON)
        for version in range(1, 6):
            save(server.directory / "views.py", VIEWS.format(version=version) + "#" * version)
            time.sleep(0.15 * version)
        wait_for_version(server, 5)
        stop_with_ctrl_c(server)


def test_the_waiting_session_is_still_found(serve_project):
    """The last line is about waiting, although requests were logged after it."""
    server = serve_project(flask_files(), *FLASK, **ON)
    save(server.directory / "app.py", "(\n")
    wait_until_broken(server, "SyntaxError")
    server.get("/ok/")
    wait_for(lambda: is_waiting(server), lambda: server.stderr)


def test_a_save_that_the_reloader_missed_is_mended_at_once(serve_project):
    """
    1. A worker serves, and its reloader has not looked at the files yet.
    2. A file is saved. The reloader's first look finds it as it is, so the reloader never reports it.
    3. The next worker replaces this one immediately after that look.
    """
    server = serve_project(django_files(settings=HOLD_THE_FIRST_LOOK), *RUNSERVER, **ON)
    hold, views = server.directory / "hold", server.directory / "views.py"
    hold.touch()
    save(
        views, VIEWS.format(version=11)
    )  # Python does not notice another text of the same size in one second
    wait_for_version(server, 11)
    (server.directory / "late").unlink(missing_ok=True)
    save(views, VIEWS.format(version=222))
    hold.unlink()
    wait_for_version(server, 222)
    assert not (server.directory / "late").exists()
    assert "devpatch: fail-safe: views.py changed, starting again" in server.stderr
    stop_with_ctrl_c(server)
