"""All functions can be patched, but the server calls others: a switch must not claim that it is on."""

from __future__ import annotations

import pytest
from servers import BY_ID
from test_refusals import ON, altered_copy, assert_refused

pytestmark = pytest.mark.long

# Here the server calls a copy of the function that devpatch patches.
WSGIREF_HANDLERS = ("    def setup_environ(self):", "    run_unseen = run\n\n    def setup_environ(self):")
WERKZEUG_SERVING = (
    "    def handle(self) -> None:",
    "    make_unseen = make_environ\n\n    def handle(self) -> None:",
)


@pytest.fixture
def wsgiref(tmp_path):
    path = altered_copy("wsgiref", "handlers.py", *WSGIREF_HANDLERS, tmp_path)
    server = tmp_path / "wsgiref" / "simple_server.py"
    text = server.read_text()
    assert "handler.run(self.server.get_app())" in text
    server.write_text(text.replace("handler.run(", "handler.run_unseen("))
    return path


@pytest.fixture
def django(tmp_path):
    path = altered_copy("wsgiref", "handlers.py", *WSGIREF_HANDLERS, tmp_path)
    altered_copy(
        "django",
        "core/servers/basehttp.py",
        "handler.run(self.server.get_app())",
        "handler.run_unseen(self.server.get_app())",
        tmp_path,
    )
    return path


@pytest.fixture
def werkzeug(tmp_path):
    path = altered_copy("werkzeug", "serving.py", *WERKZEUG_SERVING, tmp_path)
    serving = tmp_path / "werkzeug" / "serving.py"
    text = serving.read_text()
    assert "environ = self.make_environ()\n" in text
    serving.write_text(text.replace("= self.make_environ()\n", "= self.make_unseen()\n"))
    return path


REASON = ("fail-fast can't guard", "its requests can't be seen", "WSGIRequestHandler")


class TestFailFast:
    @pytest.mark.modes(choose=lambda mode: mode.server == "wsgiref")
    def test_wsgiref(self, serve, mode, wsgiref):
        assert_refused(serve(mode, wait=False, **ON, PYTHONPATH=wsgiref), *REASON)

    @pytest.mark.modes(choose=lambda mode: mode.server in ("runserver", "testserver"))
    def test_django(self, serve, mode, django):
        assert_refused(serve(mode, wait=False, **ON, PYTHONPATH=django), *REASON)

    @pytest.mark.modes(
        choose=lambda mode: mode.server in ("run_simple", "app.run", "flask run", "runserver_plus")
    )
    def test_werkzeug(self, serve, mode, werkzeug):
        assert_refused(serve(mode, wait=False, **ON, PYTHONPATH=werkzeug), *REASON)

    def test_a_missing_step_does_not_matter_if_the_next_one_is_seen(self, serve, tmp_path):
        """Werkzeug makes its error page in an unknown way. devpatch sees the error in the next step."""
        path = altered_copy(
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
    def test_they_have_no_effect_and_announce_that(self, serve, wsgiref, tmp_path):
        """threaded still works, because it does not need to see errors."""
        server = serve(
            BY_ID["wsgiref-serve_forever"],
            DEVPATCH_ERROR_LOG=str(tmp_path / "errors.jsonl"),
            DEVPATCH_THREADED="2",
            PYTHONPATH=wsgiref,
        )
        assert server.get("/view/").status == 500
        messages = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
        assert len(messages) == 2, server.stderr
        assert messages[0].startswith(
            "devpatch: error-log has no effect on wsgiref: its requests can't be seen"
        )
        assert messages[1] == "devpatch: at most 2 threads"


def test_the_proof_is_silent(serve):
    """The proof adds no output and no request to the server's log."""
    server = serve(BY_ID["wsgiref-serve_forever"], **ON)
    assert "/failing" not in server.stderr + server.stdout
    assert "/healthy" not in server.stderr + server.stdout
    assert server.stderr.count("devpatch:") == 1
