"""A version in which every patch fits, and whose requests take another way: a guard must not claim that it is on."""

from __future__ import annotations

import pytest
from servers import BY_ID
from test_refusals import ON, altered, refused

pytestmark = pytest.mark.long

# The names that are patched stay, and the server calls others.
WSGIREF_HANDLERS = ("    def setup_environ(self):", "    run_unseen = run\n\n    def setup_environ(self):")
WERKZEUG_SERVING = (
    "    def handle(self) -> None:",
    "    run_unseen = run_wsgi\n\n    def handle(self) -> None:",
)


@pytest.fixture
def wsgiref(tmp_path):
    path = altered("wsgiref", "handlers.py", *WSGIREF_HANDLERS, tmp_path)
    server = tmp_path / "wsgiref" / "simple_server.py"
    text = server.read_text()
    assert "handler.run(self.server.get_app())" in text
    server.write_text(text.replace("handler.run(", "handler.run_unseen("))
    return path


@pytest.fixture
def django(tmp_path):
    path = altered("wsgiref", "handlers.py", *WSGIREF_HANDLERS, tmp_path)
    altered(
        "django",
        "core/servers/basehttp.py",
        "handler.run(self.server.get_app())",
        "handler.run_unseen(self.server.get_app())",
        tmp_path,
    )
    return path


@pytest.fixture
def werkzeug(tmp_path):
    path = altered("werkzeug", "serving.py", *WERKZEUG_SERVING, tmp_path)
    serving = tmp_path / "werkzeug" / "serving.py"
    text = serving.read_text()
    assert "return self.run_wsgi\n" in text
    serving.write_text(text.replace("return self.run_wsgi\n", "return self.run_unseen\n"))
    return path


SAYS = ("fail-fast can't guard", "its requests can't be seen", "WSGIRequestHandler")


class TestFailFast:
    @pytest.mark.modes(choose=lambda mode: mode.server == "wsgiref")
    def test_wsgiref(self, serve, mode, wsgiref):
        refused(serve(mode, wait=False, **ON, PYTHONPATH=wsgiref), *SAYS)

    @pytest.mark.modes(choose=lambda mode: mode.server in ("runserver", "testserver"))
    def test_django(self, serve, mode, django):
        refused(serve(mode, wait=False, **ON, PYTHONPATH=django), *SAYS)

    @pytest.mark.modes(
        choose=lambda mode: mode.server in ("run_simple", "app.run", "flask run", "runserver_plus")
    )
    def test_werkzeug(self, serve, mode, werkzeug):
        refused(serve(mode, wait=False, **ON, PYTHONPATH=werkzeug), *SAYS)

    def test_a_page_for_errors_that_is_made_in_another_way(self, serve, tmp_path):
        """The error is seen at the next step, so the server is guarded."""
        path = altered(
            "werkzeug",
            "serving.py",
            "execute(InternalServerError())",
            "execute(type(self).page_for_errors())",
            tmp_path,
        )
        serving = tmp_path / "werkzeug" / "serving.py"
        text = serving.read_text()
        old, _new = WERKZEUG_SERVING
        page = "    page_for_errors = InternalServerError\n\n"
        serving.write_text(text.replace(old, page + old))
        server = serve(BY_ID["run_simple-threads"], **ON, PYTHONPATH=path)
        assert server.get("/view/").status == 500
        assert server.exit_status() == 1


class TestOthers:
    def test_they_have_no_effect_and_say_so(self, serve, wsgiref, tmp_path):
        """Threads and fail-safe do not need to know of errors."""
        server = serve(
            BY_ID["wsgiref-serve_forever"],
            DEVPATCH_ERROR_LOG=str(tmp_path / "errors.jsonl"),
            DEVPATCH_THREADED="2",
            PYTHONPATH=wsgiref,
        )
        assert server.get("/view/").status == 500
        said = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
        assert len(said) == 2, server.stderr
        assert said[0].startswith("devpatch: error-log has no effect on wsgiref: its requests can't be seen")
        assert said[1].startswith("devpatch: threaded is on for wsgiref")


def test_it_is_silent(serve):
    """A server that can be guarded prints what it printed before, and its log has no request more."""
    server = serve(BY_ID["wsgiref-serve_forever"], **ON)
    assert "/failing" not in server.stderr + server.stdout
    assert "/healthy" not in server.stderr + server.stdout
    assert server.stderr.count("devpatch:") == 1
