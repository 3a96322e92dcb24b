"""With fail-fast on, programs that are not development servers work as before."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from harness import APPS, clean_environment, free_port, python, wait_for

from devpatch import switches
from devpatch.__main__ import COMMANDS

ON = {"DEVPATCH_FAILFAST": "1"}
DJANGO_SITE = APPS / "django_site"
# With two processes, where the main process imports what the gate waits for. The workers of uvicorn each do.
PRODUCTION_SERVERS = {
    "gunicorn": "gunicorn -w 2 -b 127.0.0.1:{port} site_under_test.wsgi",
    "uvicorn": "uvicorn --port {port} site_under_test.asgi:application",
    "hypercorn": "hypercorn -w 2 -b 127.0.0.1:{port} site_under_test.asgi:application",
    "daphne": "daphne -p {port} site_under_test.asgi:application",
    "waitress": "waitress --listen 127.0.0.1:{port} site_under_test.wsgi:application",
}


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

    @pytest.mark.parametrize("server", PRODUCTION_SERVERS)
    @pytest.mark.parametrize(
        ("variables", "names"),
        [
            ({**ON, "DEVPATCH_THREADED": "4"}, "DEVPATCH_FAILFAST and DEVPATCH_THREADED have"),
            (ON, "DEVPATCH_FAILFAST has"),
            ({"DEVPATCH_EXC_INFO": "1"}, None),
        ],
        ids=["two", "one", "exc_info"],
    )
    def test_production_servers(self, server, tmp_path, variables, names):
        """They serve as before, and one line says that the switches have no effect on them."""
        pytest.importorskip(server)
        port = free_port()
        words = [word.format(port=port) for word in PRODUCTION_SERVERS[server].split()]
        with open(tmp_path / "stderr", "wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=DJANGO_SITE,
                env=clean_environment(**variables, PYTHONPATH=str(DJANGO_SITE)),
                stderr=err,
                stdout=err,
            )
        try:
            wait_for(lambda: ask(port, "/ok/") == 200, "an answer")
            for _ in range(3):
                assert ask(port, "/view/") == 500
            assert ask(port, "/ok/") == 200
            lines = [line for line in (tmp_path / "stderr").read_text().splitlines() if "devpatch: " in line]
            expected = f"devpatch: {server} is not a development server, so {names} no effect"
            assert lines == ([expected] if names else [])
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
        """A table of features by servers that are installed."""
        result = python("-m", "devpatch", **ON, DEVPATCH_EDITOR="vscode")
        assert result.returncode == 0, result.stderr
        assert "it ran in this process" in result.stdout
        assert "also set: DEVPATCH_EDITOR=vscode\n" in result.stdout
        lines = result.stdout.splitlines()
        header = next(line for line in lines if "switch" in line and "wsgiref" in line)
        row = next(line for line in lines if line.startswith("fail-fast "))
        assert ("flask run" in header) == (importlib.util.find_spec("flask") is not None)
        assert row.split()[1:3] == ["DEVPATCH_FAILFAST", "on"]
        assert row[header.index("wsgiref") :].split()[0] == "yes"
        assert len(lines) < 30

    @pytest.mark.parametrize(("variables", "expected"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
    def test_colours(self, variables, expected):
        assert ("\x1b[32m" in python("-m", "devpatch", **variables).stdout) is expected

    def test_help_has_each_switch_and_an_example(self):
        result = python("-m", "devpatch", "--help")
        assert result.returncode == 0
        for switch in switches.SWITCHES:
            assert f"{switch.name} " in result.stdout
            assert switch.help in result.stdout
        assert "DEVPATCH_FAILFAST=1 python manage.py runserver" in result.stdout
        for command in COMMANDS:
            assert python("-m", "devpatch", command, "--help").returncode == 0

    def test_an_unknown_command(self):
        result = python("-m", "devpatch", "docter")
        assert result.returncode == 2
        assert "doctor" in result.stderr

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
        assert ": werkzeug.serving.WSGIRequestHandler.run_wsgi is not there" in result.stdout
        assert result.returncode == 0
