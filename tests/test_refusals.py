"""A server for which fail-fast can't work, or a bad value: exit status 2, and one line with the reason."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
from servers import BY_ID

ON = {"DEVPATCH_FAILFAST": "1"}


def assert_refused(server, *words, lines=1):
    assert server.exit_status() == 2, server.stderr
    server.assert_nothing_left()
    messages = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
    assert len(messages) == lines, server.stderr
    for word in words:
        assert word in messages[0]
    assert "Traceback" not in server.stderr


def altered_copy(package: str, file: str, old: str, new: str, folder: Path) -> str:
    """Copy an installed package and change a name in it, as an unknown version might. Return the folder."""
    source = Path(importlib.util.find_spec(package).origin).parent
    shutil.copytree(source, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    module = folder / package / file
    text = module.read_text()
    assert old in text
    module.write_text(text.replace(old, new))
    return str(folder)


class TestBadValues:
    def test_a_server_does_not_start(self, serve, mode):
        server = serve(mode, wait=False, DEVPATCH_FAILFAST="ture")
        assert_refused(server, "DEVPATCH_FAILFAST='ture'", "1, true, yes, on")

    @pytest.mark.parametrize("value", ["0", "3", "256", "-1", "1.5", "one", "9" * 6000])
    def test_exit_codes(self, serve, value):
        server = serve(BY_ID["wsgiref-serve_forever"], wait=False, **ON, DEVPATCH_FAILFAST_EXIT_CODE=value)
        assert_refused(server, "DEVPATCH_FAILFAST_EXIT_CODE=", "1 to 255")

    def test_each_bad_value_is_reported_in_a_line(self, serve):
        server = serve(
            BY_ID["wsgiref-serve_forever"],
            wait=False,
            DEVPATCH_FAILFAST="ture\nline",
            DEVPATCH_FAILFAST_EXIT_CODE="x",
        )
        assert_refused(server, r"'ture\nline'", lines=2)


class TestInCI:
    """Nobody reads a hint there, and the server would run unguarded."""

    @pytest.mark.parametrize("value", ["true", "1", "woodpecker"])
    def test_a_misspelt_switch_is_an_error(self, serve, value):
        server = serve(BY_ID["wsgiref-serve_forever"], wait=False, DEVPATCH_FALFAST="1", CI=value)
        assert_refused(server, "DEVPATCH_FALFAST", "did you mean DEVPATCH_FAILFAST?", "because CI is set")

    @pytest.mark.parametrize("value", ["", "false", "0"])
    def test_elsewhere_it_is_a_hint(self, serve, value):
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_FALFAST="1", CI=value)
        assert server.stderr.count("did you mean DEVPATCH_FAILFAST?") == 1


class TestWithoutAnotherSwitch:
    @pytest.mark.parametrize(
        ("variables", "number"), [({}, 1), ({"DEVPATCH_FAILFAST": "1"}, 0), ({"DEVPATCH_FAILFAST": "0"}, 0)]
    )
    def test_an_exit_code_alone_is_reported(self, serve, variables, number):
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_FAILFAST_EXIT_CODE="7", **variables)
        hint = "devpatch: DEVPATCH_FAILFAST_EXIT_CODE has no effect without DEVPATCH_FAILFAST: "
        assert server.stderr.count(hint) == number

    @pytest.mark.parametrize(("variables", "number"), [({}, 1), ({"DEVPATCH_SUMMARY": "1"}, 0)])
    def test_a_log_of_the_summary_alone_is_reported(self, serve, tmp_path, variables, number):
        path = str(tmp_path / "costs.jsonl")
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_SUMMARY_LOG=path, **variables)
        hint = "devpatch: DEVPATCH_SUMMARY_LOG has no effect without DEVPATCH_SUMMARY: "
        assert server.stderr.count(hint) == number


@pytest.mark.long
class TestUnknownNames:
    @pytest.mark.modes(choose=lambda mode: mode.mode in ("serve_forever", "reload", "debug"))
    def test_one_line_with_the_nearest_name(self, serve, mode):
        server = serve(mode, DEVPATCH_FALFAST="1")
        messages = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
        assert messages == [
            "devpatch: DEVPATCH_FALFAST is not a switch of devpatch; did you mean DEVPATCH_FAILFAST?"
        ]
        assert server.get("/view/").status == 500
        assert server.get("/ok/").status == 200


class TestUnknownVersions:
    @pytest.mark.modes(
        choose=lambda mode: mode.server in ("run_simple", "app.run", "flask run", "runserver_plus")
    )
    def test_werkzeug(self, serve, mode, tmp_path):
        path = altered_copy("werkzeug", "serving.py", "run_wsgi", "run_the_wsgi", tmp_path)
        server = serve(mode, wait=False, **ON, PYTHONPATH=path)
        assert_refused(
            server, "fail-fast can't guard", "werkzeug.serving.WSGIRequestHandler.run_wsgi", "is not there"
        )

    @pytest.mark.modes(choose=lambda mode: mode.server in ("run_simple", "runserver_plus"))
    def test_a_function_that_takes_other_arguments(self, serve, mode, tmp_path):
        path = altered_copy(
            "werkzeug", "serving.py", "def run_wsgi(self)", "def run_wsgi(self, scope)", tmp_path
        )
        server = serve(mode, wait=False, **ON, PYTHONPATH=path)
        assert_refused(server, "run_wsgi", "takes other arguments")

    @pytest.mark.modes(choose=lambda mode: mode.server in ("runserver", "testserver", "wsgiref"))
    def test_wsgiref(self, serve, mode, tmp_path):
        path = altered_copy("wsgiref", "handlers.py", "handle_error", "handle_the_error", tmp_path)
        server = serve(mode, wait=False, **ON, PYTHONPATH=path)
        assert_refused(server, "fail-fast can't guard", "wsgiref.handlers.BaseHandler.handle_error")

    @pytest.mark.modes(choose=lambda mode: mode.id in ("run_simple-reload", "app.run-debug"))
    def test_werkzeugs_reloader_which_is_imported_last(self, serve, mode, tmp_path):
        path = altered_copy("werkzeug", "_reloader.py", "import time\n", "import time as clock\n", tmp_path)
        reloader = tmp_path / "werkzeug" / "_reloader.py"
        reloader.write_text(reloader.read_text().replace("time.sleep", "clock.sleep"))
        server = serve(mode, wait=False, **ON, PYTHONPATH=path)
        assert_refused(server, "fail-fast can't guard", "werkzeug._reloader.time is not there")

    @pytest.mark.modes(choose=lambda mode: mode.id in ("run_simple-", "flask-run-"))
    def test_the_function_that_starts_a_server(self, serve, mode, tmp_path):
        """devpatch can't observe the start, so the function itself is replaced by one that refuses."""
        path = altered_copy(
            "werkzeug",
            "serving.py",
            "    application: WSGIApplication,\n",
            "    app: WSGIApplication,\n",
            tmp_path,
        )
        serving = tmp_path / "werkzeug" / "serving.py"
        text = serving.read_text().replace(
            "def run_simple(\n    hostname: str,", "def run_simple(\n    *, scope: str, hostname: str,"
        )
        serving.write_text(text)
        server = serve(mode, wait=False, **ON, PYTHONPATH=path)
        assert_refused(
            server, "fail-fast can't guard", "werkzeug.serving.run_simple", "takes other arguments"
        )

    def test_without_a_switch_it_runs_as_before(self, serve, tmp_path):
        path = altered_copy("wsgiref", "handlers.py", "handle_error", "handle_the_error", tmp_path)
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_FAILFAST="0", PYTHONPATH=path)
        assert server.get("/view/").status == 500
        assert server.get("/ok/").status == 200
        assert "devpatch" not in server.stderr


@pytest.mark.long
class TestOtherRunservers:
    @pytest.fixture(params=["runserver-reload", "runserver-noreload"])
    def runserver(self, request):
        if request.param not in BY_ID:
            pytest.skip("Django is not installed")
        return BY_ID[request.param]

    def test_daphnes_runserver_serves_without_the_switch(self, serve, runserver):
        pytest.importorskip("daphne")
        server = serve(runserver, DEVPATCH_FAILFAST="0", SITE_APPS="daphne")
        assert server.get("/view/").status == 500
        assert server.get("/ok/").status == 200

    def test_daphnes_runserver_with_noasgi_is_guarded(self, serve, runserver):
        pytest.importorskip("daphne")
        wsgi = type(runserver)("runserver", "", "django", (*runserver.arguments, "--noasgi"))
        server = serve(wsgi, **ON, SITE_APPS="daphne")
        server.get("/view/")
        assert server.exit_status() == 1

    def test_one_that_calls_djangos_method_is_guarded(self, serve, runserver):
        server = serve(runserver, **ON, SITE_APPS="own_runserver")
        server.get("/view/")
        assert server.exit_status() == 1
        assert "a banner of our own" in server.stdout

    def test_one_that_serves_by_itself_is_refused(self, serve, runserver):
        server = serve(runserver, wait=False, **ON, SITE_APPS="other_runserver")
        assert_refused(server, "other_runserver.management.commands.runserver.Command.inner_run", "replaces")

    def test_the_switches_that_have_no_effect_are_announced_once(self, serve, runserver, tmp_path):
        """The reloader's parent prints one line for all, and its worker does not repeat it."""
        switches = {
            "DEVPATCH_THREADED": "1",
            "DEVPATCH_FAILSAFE": "1",
            "DEVPATCH_ERROR_LOG": str(tmp_path / "errors"),
        }
        server = serve(runserver, wait=False, **switches, SITE_APPS="other_runserver")
        server.wait_until_listening()
        messages = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
        expected = "devpatch: error-log, threaded and fail-safe have no effect on runserver"
        assert [line.rpartition(": ")[0] for line in messages] == [expected]


def test_a_server_that_forks_is_refused(serve):
    if "run_simple" not in {mode.server for mode in BY_ID.values()}:
        pytest.skip("Werkzeug is not installed")
    forking = type(next(iter(BY_ID.values())))(
        "run_simple", "forking", "bare", ("bare_site.py", "{port}", "werkzeug", "forking")
    )
    assert_refused(serve(forking, wait=False, **ON), "forks")
