"""With fail-fast on, programs that are not development servers work as before."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from harness import APPS, clean_environment, free_port, python, wait_for

ON = {"DEVPATCH_FAILFAST": "1"}
DJANGO_SITE = APPS / "django_site"


def manage(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=DJANGO_SITE,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


class TestDjangoPrograms:
    @pytest.fixture(autouse=True)
    def _django(self):
        pytest.importorskip("django")

    @pytest.mark.parametrize("command", ["migrate", "check", "diffsettings"])
    def test_commands_load_no_wrapt(self, command):
        off, on = manage(command), manage(command, **ON)
        assert (on.returncode, on.stderr) == (off.returncode, off.stderr)
        loaded = "import atexit,sys; atexit.register(lambda: print('LOADED', 'wrapt' in sys.modules))\n"
        result = python(
            "-c",
            f"{loaded}import os,sys; os.chdir({str(DJANGO_SITE)!r}); sys.path.insert(0, '')\n"
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'site_under_test.settings'\n"
            f"from django.core.management import execute_from_command_line as run\nrun(['manage.py', {command!r}])",
            **ON,
        )
        assert "LOADED False" in result.stdout, result.stderr

    def test_shell(self):
        result = manage("shell", "-c", "import sys; print('wrapt' in sys.modules)", **ON)
        assert result.stdout.strip().splitlines()[-1] == "False"
        assert "devpatch" not in result.stderr

    @pytest.mark.parametrize("switch", ["DEVPATCH_FAILFAST", "DEVPATCH_THREADED"])
    def test_the_test_client_and_the_live_server(self, tmp_path, switch):
        """
        1. Tests request failing pages with the test client and from a live server.
        2. With the switch on and off the responses are the same, nothing is reported and all tests run.
           The live server shares its database connections with the test, so it keeps its own threads.
        """
        off, on = (manage("test", "live_tests", **{switch: value}) for value in ("0", "1"))
        for result in (off, on):
            assert result.returncode == 0, result.stderr
            assert "Ran 4 tests" in result.stderr
            assert "devpatch" not in result.stderr.replace(str(DJANGO_SITE), "")

    @pytest.mark.parametrize("kind", ["gunicorn", "uvicorn", "daphne"])
    def test_production_servers(self, kind, tmp_path):
        pytest.importorskip(kind)
        port = free_port()
        arguments = {
            "gunicorn": ["-m", "gunicorn", "-b", f"127.0.0.1:{port}", "site_under_test.wsgi"],
            "uvicorn": ["-m", "uvicorn", "--port", str(port), "site_under_test.asgi:application"],
            "daphne": ["-m", "daphne", "-p", str(port), "site_under_test.asgi:application"],
        }[kind]
        with open(tmp_path / "stderr", "wb") as err:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=DJANGO_SITE,
                env=clean_environment(**ON),
                stderr=err,
                stdout=err,
            )
        try:
            wait_for(lambda: ask(port, "/ok/") == 200, "an answer")
            for _ in range(3):
                assert ask(port, "/view/") == 500
            assert ask(port, "/ok/") == 200
            assert "devpatch" not in (tmp_path / "stderr").read_text().replace(str(DJANGO_SITE), "")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def ask(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class TestEmbeddedServers:
    SCRIPT = """
import threading, time, urllib.request, sys
from {module} import make_server

def application(environ, start_response):
    raise ValueError("boom in an embedded server")

server = make_server("127.0.0.1", 0, application)
threading.Thread(target=server.serve_forever, daemon=True).start()
for _ in range(3):
    try:
        urllib.request.urlopen("http://127.0.0.1:%d/" % server.server_port)
    except urllib.error.HTTPError as error:
        print(error.code)
time.sleep(0.7)
print("the program went on")
"""

    @pytest.mark.parametrize("module", ["wsgiref.simple_server", "werkzeug.serving"])
    def test_a_server_in_a_thread_is_left_alone(self, module):
        """Metrics exporters and test suites do this."""
        pytest.importorskip(module.partition(".")[0])
        result = python("-c", self.SCRIPT.format(module=module), **ON)
        assert result.returncode == 0, result.stderr
        assert result.stdout.split("\n")[:4] == ["500", "500", "500", "the program went on"]
        assert "devpatch" not in result.stderr


def test_disabled(serve):
    from servers import BY_ID

    server = serve(BY_ID["wsgiref-threads"], **ON, DEVPATCH_DISABLE="1", DEVPATCH_FALFAST="x")
    assert server.get("/view/").status == 500
    assert server.get("/ok/").status == 200
    assert "devpatch" not in server.stderr


class TestStatus:
    def test_as_text(self):
        result = python("-m", "devpatch", **ON)
        assert result.returncode == 0, result.stderr
        for part in (
            "start-up file",
            "it ran in this process",
            "DEVPATCH_FAILFAST ",
            "on",
            "fail-fast",
            "runserver_plus",
        ):
            assert part in result.stdout

    def test_as_json(self):
        found = json.loads(python("-m", "devpatch", "--json", **ON).stdout)
        assert found["start_up_file"]["ran"] is True
        assert len(found["start_up_file"]["paths"]) == 1
        by_name = {switch["name"]: switch for switch in found["switches"]}
        assert by_name["DEVPATCH_FAILFAST"]["value"] is True
        servers = found["features"][0]["servers"]
        assert servers["wsgiref"] is None
        for server, distribution in (
            ("runserver", "Django"),
            ("run_simple", "Werkzeug"),
            ("app.run", "Flask"),
        ):
            assert (servers[server] is None) == (found["frameworks"][distribution] is not None), servers

    def test_an_invalid_switch(self):
        result = python("-m", "devpatch", DEVPATCH_FAILFAST="ture", DEVPATCH_FALFAST="1")
        assert result.returncode == 2
        assert "DEVPATCH_FAILFAST='ture' is not valid" in result.stdout
        assert "did you mean DEVPATCH_FAILFAST?" in result.stdout

    def test_why_the_start_up_file_did_not_run(self):
        assert "it did not run: no DEVPATCH_ variable is set" in python("-m", "devpatch").stdout
        assert "-E or -I" in python("-E", "-m", "devpatch", **ON).stdout

    def test_why_a_server_is_not_available(self, tmp_path):
        pytest.importorskip("werkzeug")
        from test_refusals import altered_copy

        path = altered_copy("werkzeug", "serving.py", "run_wsgi", "run_the_wsgi", tmp_path)
        result = python("-m", "devpatch", PYTHONPATH=path)
        assert "not available: werkzeug.serving.WSGIRequestHandler.run_wsgi is not there" in result.stdout
        assert result.returncode == 0
