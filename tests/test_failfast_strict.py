"""DEVPATCH_FAILFAST=strict: an exception that became a response of status 500 or more stops the server too."""

from __future__ import annotations

import pytest
from projects import FLASK_RUN, RUNSERVER, django_files, flask_files
from test_messages import messages_of

pytestmark = pytest.mark.long
STRICT = {"DEVPATCH_FAILFAST": "strict"}
FLASK_HANDLERS = """
import flask
class Teapot(Exception): pass
@app.errorhandler({kind})
def answer(error): return 'handled', {status}
@app.get('/aborts/')
def aborts(): flask.abort(503)
@app.get('/returns/')
def returns(): return 'on purpose', 500
"""
MIDDLEWARE = """from django.http import HttpResponse
class Answers:
    def __init__(self, get_response): self.get_response = get_response
    def __call__(self, request): return self.get_response(request)
    def process_exception(self, request, exception):
        return HttpResponse("handled", status=int(request.GET.get("status", 500)))
"""
ASYNC_VIEW = "async def later(request): raise ValueError('boom in an async view')\n"
REST = """
from rest_framework.decorators import api_view as _api_view
@_api_view()
def rest(request): raise ValueError("boom in an API")
"""
REST_SETTINGS = """
REST_FRAMEWORK = {
    "EXCEPTION_HANDLER": "handling.handle",
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "UNAUTHENTICATED_USER": None,
}
"""
HANDLING = """
from rest_framework.response import Response
def handle(error, context): return Response({"error": str(error)}, status=500)
"""


def assert_stopped(server, path, what):
    response = server.get(path)
    assert response.status == 500
    assert response.body
    assert server.exit_status() == 1, server.stderr
    server.assert_nothing_left()
    assert any(f"{path}: {what}" in line for line in messages_of(server)), server.stderr


class TestFlask:
    @pytest.fixture(autouse=True)
    def _flask(self):
        pytest.importorskip("flask")

    @pytest.mark.parametrize("debug", [(), ("--debug",)])
    @pytest.mark.parametrize("kind", ["Exception", "ValueError"])
    def test_a_handled_exception(self, serve_project, kind, debug):
        files = flask_files(tail=FLASK_HANDLERS.format(kind=kind, status=500))
        server = serve_project(files, *FLASK_RUN, *debug, **STRICT)
        assert messages_of(server)[0] == "devpatch: fail-fast (strict, exit 1)"
        assert_stopped(server, "/view/", "ValueError: boom in a view")

    @pytest.mark.parametrize(
        ("kind", "status", "paths"),
        [
            ("ValueError", 409, ["/view/"]),
            ("Teapot", 500, ["/aborts/", "/returns/", "/missing/"]),
        ],
    )
    def test_what_is_no_error(self, serve_project, kind, status, paths):
        server = serve_project(
            flask_files(tail=FLASK_HANDLERS.format(kind=kind, status=status)), *FLASK_RUN, **STRICT
        )
        for path in paths * 2:
            assert server.get(path).status >= 400
        assert server.get("/ok/").status == 200
        assert server.process.poll() is None
        assert len(messages_of(server)) == 1

    def test_without_strict_it_is_said_once(self, serve_project):
        files = flask_files(tail=FLASK_HANDLERS.format(kind="Exception", status=500))
        server = serve_project(files, *FLASK_RUN, DEVPATCH_FAILFAST="1")
        for _ in range(3):
            assert server.get("/view/").status == 500
        assert server.process.poll() is None
        start, catch_all, first = messages_of(server)
        assert start == "devpatch: fail-fast (exit 1)"
        assert "the errorhandler app.answer handles every exception" in catch_all
        assert "/view/: a handler answered ValueError" in first
        assert catch_all.endswith("DEVPATCH_FAILFAST=strict stops it at those too")
        assert first.endswith("DEVPATCH_FAILFAST=strict stops it at those too")


class TestDjango:
    @pytest.fixture(autouse=True)
    def _django(self):
        pytest.importorskip("django")

    @pytest.mark.parametrize("path", ["/view/", "/later/"])
    def test_process_exception(self, serve_project, path):
        files = django_files(middleware="['answers.Answers']", answers=MIDDLEWARE, views=ASYNC_VIEW)
        server = serve_project(files, *RUNSERVER, **STRICT)
        assert server.get(f"{path}?status=404").status == 404
        assert server.process.poll() is None
        assert_stopped(server, path, "ValueError: boom in a")

    def test_without_strict_it_is_said_once(self, serve_project):
        files = django_files(middleware="['answers.Answers']", answers=MIDDLEWARE)
        server = serve_project(files, *RUNSERVER, DEVPATCH_FAILFAST="1")
        for _ in range(3):
            assert server.get("/view/").status == 500
        assert server.process.poll() is None
        assert sum("a handler answered ValueError" in line for line in messages_of(server)) == 1

    def test_rest_framework(self, serve_project):
        pytest.importorskip("rest_framework")
        files = django_files(settings=REST_SETTINGS, views=REST, handling=HANDLING)
        server = serve_project(files, *RUNSERVER, **STRICT)
        assert_stopped(server, "/rest/", "ValueError: boom in an API")
