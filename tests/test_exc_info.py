"""DEVPATCH_EXC_INFO: the middleware of examples/oops gets the exceptions behind error responses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from harness import APPS, TIMEOUT, DevServer, clean_environment, free_port, wait_for
from test_failfast_contract import KINDS, NOT_ERRORS

OOPS = Path(__file__).parent.parent / "examples" / "oops"
DJANGO_SITE = APPS / "django_site"
# The errors that Django or Flask itself answers: those inside the framework, before the response starts.
ANSWERED = [kind for kind in KINDS if kind.path in ("/view/", "/middleware/", "/template/", "/async/")]
ANSWERED = [kind for kind in ANSWERED if kind.id not in ("propagated", "handler500 raises")]


def prepare(tmp_path, **variables):
    reports = tmp_path / "reports.jsonl"
    reports.touch()
    variables = {"SITE_OOPS": str(reports), "PYTHONPATH": str(OOPS), **variables}
    return reports, {"DEVPATCH_EXC_INFO": "1", **variables}


def lines_in(reports):
    return [json.loads(line) for line in reports.read_text().splitlines()]


def start(command, directory, tmp_path, **variables):
    port = int(next(word for word in command if "{port}" not in word and word.isdigit()))
    server = DevServer([sys.executable, *command], directory, tmp_path, port, clean_environment(**variables))
    server.start()
    wait_for(lambda: status_of(server, "/ok/") is not None, lambda: server.stderr)
    return server


def status_of(server, path):
    assert server.process.poll() is None, server.stderr
    try:
        return server.get(path).status
    except OSError:
        return None


@pytest.mark.modes(
    choose=lambda mode: mode.id in ("runserver-reload", "runserver-noreload", "app.run-", "flask-run-")
)
class TestDevServers:
    def test_it_gets_errors_and_nothing_else(self, serve, mode, tmp_path):
        found = {}
        for variables in {kind.environ for kind in ANSWERED if mode.site in kind.sites}:
            reports, environ = prepare(tmp_path, **dict(variables))
            reports.write_text("")
            server = serve(mode, **environ)
            if not variables:
                for name in NOT_ERRORS[mode.site].split():
                    server.get(f"/{name}/")
                assert lines_in(reports) == []
            for kind in ANSWERED:
                if mode.site in kind.sites and kind.environ == variables:
                    response = server.get(kind.path)
                    assert response.status == 500
                    line = lines_in(reports)[-1]
                    assert (line["path"], line["status"][:3]) == (kind.path, "500")
                    assert line["exception"].startswith(kind.message)
                    assert "devpatch" not in line["traceback"]
                    assert f"X-Oops: {line['number']}" in response.headers
                    found[kind.id] = line
            assert len(lines_in(reports)) == sum(
                mode.site in kind.sites and kind.environ == variables for kind in ANSWERED
            )
            messages = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
            assert messages == ["devpatch: exc-info"]
            server.kill()
        assert len(found) >= 4

    def test_the_response_is_the_frameworks_own(self, serve, mode):
        bodies = []
        for variables in ({}, {"DEVPATCH_EXC_INFO": "1"}):
            server = serve(mode, SITE_DEBUG="0", **variables)
            response = server.get("/view/")
            bodies.append((response.status, response.body))
            server.kill()
        assert bodies[0] == bodies[1]

    def test_nothing_of_devpatch_is_on_the_debug_page(self, serve, mode):
        """Flask passes the exception to the debugger through frames of devpatch."""
        server = serve(mode, DEVPATCH_EXC_INFO="1", SITE_DEBUG="1")
        response = server.get("/view/")
        assert response.status == 500
        assert b"devpatch/" not in response.body.replace(str(APPS).encode(), b"")
        assert b"devpatch\\" not in response.body


@pytest.mark.modes(choose=lambda mode: mode.id == "runserver_plus-reload" or mode.id.endswith("-debug"))
def test_a_debugger_shows_no_frame_of_devpatch(serve, mode):
    server = serve(mode, DEVPATCH_EXC_INFO="1")
    response = server.get("/view/")
    assert response.status == 500
    assert b"boom in a view" in response.body
    assert b"devpatch/" not in response.body.replace(str(APPS).encode(), b"")
    assert "devpatch/" not in server.stderr.replace(str(APPS), "")


class TestOtherServers:
    @pytest.mark.parametrize("application", ["django_app", "flask_app:app"])
    def test_the_example_under_gunicorn(self, application, tmp_path):
        """A copy of it runs with the command in its docstring. Nothing in stderr mentions devpatch."""
        pytest.importorskip("gunicorn")
        pytest.importorskip("django" if "django" in application else "flask")
        for name in ("oops.py", "django_app.py", "flask_app.py"):
            (tmp_path / name).write_text((OOPS / name).read_text())
        port = free_port()
        command = [
            "-m",
            "gunicorn",
            "-w",
            "2",
            "-b",
            f"127.0.0.1:{port}",
            application,
            "--log-level",
            "debug",
        ]
        environ = clean_environment(DEVPATCH_EXC_INFO="1")
        server = DevServer([sys.executable, *command], tmp_path, tmp_path, port, environ)
        server.start()
        try:
            wait_for(lambda: status_of(server, "/") == 200, lambda: server.stderr)
            server.get("/missing/")
            assert not (tmp_path / "oops.jsonl").exists()
            for _ in range(3):
                response = server.get("/results/")
                assert response.status == 500
            lines = lines_in(tmp_path / "oops.jsonl")
            assert [line["exception"] for line in lines] == ["ZeroDivisionError: division by zero"] * 3
            assert f"x-oops: {lines[-1]['number']}" in response.headers.lower()
            assert "devpatch" not in server.stderr
            os.kill(server.process.pid, signal.SIGTERM)
            assert server.exit_status() == 0
        finally:
            server.kill()

    def test_nothing_is_reported_with_the_switch_off(self, tmp_path):
        pytest.importorskip("gunicorn")
        pytest.importorskip("django")
        for name in ("oops.py", "django_app.py"):
            (tmp_path / name).write_text((OOPS / name).read_text())
        for value in ("0", "nonsense", ""):
            port = free_port()
            command = [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", "django_app"]
            environ = clean_environment(DEVPATCH_EXC_INFO=value)
            server = DevServer(command, tmp_path, tmp_path, port, environ).start()
            try:
                wait_for(
                    lambda server=server: status_of(server, "/") == 200, lambda server=server: server.stderr
                )
                assert server.get("/results/").status == 500
                assert not (tmp_path / "oops.jsonl").exists()
                assert "devpatch" not in server.stderr, value
            finally:
                server.kill()

    def test_a_failed_patch_is_reported_in_one_line(self, tmp_path):
        pytest.importorskip("django")
        script = (
            "import django.core.handlers.wsgi as wsgi\n"
            "print(hasattr(wsgi.WSGIHandler.__call__, '__wrapped__'))\n"
        )
        sitecustomize = tmp_path / "sitecustomize.py"
        sitecustomize.write_text(
            "import django.core.handlers.base as base\n"
            "base.BaseHandler.__call__ = None\n"
            "import builtins\n"
            "real = builtins.__build_class__\n"
            "def build(function, name, *bases, **named):\n"
            "    made = real(function, name, *bases, **named)\n"
            "    if name == 'WSGIHandler': del made.__call__\n"
            "    return made\n"
            "builtins.__build_class__ = build\n"
        )
        environ = clean_environment(DEVPATCH_EXC_INFO="1", PYTHONPATH=str(tmp_path))
        result = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environ, timeout=TIMEOUT
        )
        assert result.stdout == "False\n", result.stderr
        assert "devpatch: exc-info has no effect on django.core.handlers.wsgi: " in result.stderr
        assert "Traceback" not in result.stderr


PREAMBLE = """
import io, logging, sys
logging.disable()
{application}
environ = {{'REQUEST_METHOD': 'GET', 'PATH_INFO': '/', 'SERVER_NAME': 'x', 'SERVER_PORT': '80',
    'wsgi.input': io.BytesIO(), 'wsgi.url_scheme': 'http', 'wsgi.errors': sys.stderr}}
"""
APPLICATIONS = {
    "django": (
        "from django.conf import settings\n"
        "settings.configure(ROOT_URLCONF='__main__', ALLOWED_HOSTS=['*'], SECRET_KEY='x')\n"
        "from django.urls import path\n"
        "from django.core.wsgi import get_wsgi_application\n"
        "def view(request): mark = Mark(); raise ValueError('boom')\n"
        "urlpatterns = [path('', view)]\n"
        "application = get_wsgi_application()\n"
    ),
    "flask": (
        "import flask\n"
        "application = flask.Flask('x')\n"
        "@application.get('/')\n"
        "def view(): mark = Mark(); raise ValueError('boom')\n"
    ),
}


@pytest.mark.parametrize("framework", APPLICATIONS)
class TestInProcess:
    def run(self, framework, script):
        pytest.importorskip(framework)
        text = "class Mark: pass\n" + PREAMBLE.format(application=APPLICATIONS[framework]) + script
        environ = clean_environment(DEVPATCH_EXC_INFO="1")
        result = subprocess.run(
            [sys.executable, "-c", text], capture_output=True, text=True, env=environ, timeout=4 * TIMEOUT
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def test_a_test_client_still_gets_the_page(self, framework):
        script = {
            "flask": "print(application.test_client().get('/').status_code)\n",
            "django": (
                "from django.test import Client\n"
                "print(Client(raise_request_exception=False).get('/').status_code)\n"
            ),
        }[framework]
        assert self.run(framework, script) == "500\n"

    def test_a_middleware_may_raise_the_exception(self, framework):
        script = (
            "def start_response(status, headers, exc_info=None):\n"
            "    raise exc_info[1].with_traceback(exc_info[2])\n"
            "try: application(dict(environ), start_response)\n"
            "except ValueError as error: print(error)\n"
        )
        assert self.run(framework, script) == "boom\n"

    @pytest.mark.long
    def test_10000_failing_requests_leak_nothing(self, framework):
        """Count the local variables of the view that are still alive, and all objects."""
        script = (
            "import gc\n"
            "calls = []\n"
            "def start_response(status, headers, exc_info=None): calls.append(exc_info is not None)\n"
            "def count():\n"
            "    gc.collect()\n"
            "    objects = gc.get_objects()\n"
            "    return sum(isinstance(thing, Mark) for thing in objects), len(objects)\n"
            "for number in range(10000):\n"
            "    result = application(dict(environ), start_response)\n"
            "    b''.join(result); getattr(result, 'close', lambda: None)()\n"
            "    del result\n"
            "    if number == 1000: early = count()\n"
            "late = count()\n"
            "print(len(calls), all(calls), early[0], late[0], late[1] - early[1] < 1000)\n"
        )
        assert self.run(framework, script) == "10000 True 0 0 True\n"
