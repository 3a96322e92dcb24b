"""What devpatch prints: one line at the start, colours on a terminal, and no control characters anywhere."""

from __future__ import annotations

import json
import re
import signal
import time

import pytest
from breakages import save
from harness import clean_environment, free_port
from projects import FLASK_RUN, RUNSERVER, django_files, flask_files
from servers import BY_ID
from test_failsafe import ON, stop_with_ctrl_c, wait_until_broken
from test_failsafe_edits import Terminal

pytestmark = pytest.mark.long
ALL = {
    "DEVPATCH_FAILFAST": "1",
    "DEVPATCH_THREADED": "1",
    "DEVPATCH_FAILSAFE": "1",
    "DEVPATCH_ERROR_LOG": "errors.jsonl",
}
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
COLOURED = re.compile(r"\x1b\[[0-9;]+mdevpatch: ")


def messages_of(server):
    return [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]


class TestStart:
    def test_one_line_for_all_switches(self, serve_project):
        pytest.importorskip("flask")
        server = serve_project(flask_files(), *FLASK_RUN, "--debug", **ALL)
        assert messages_of(server) == [
            "devpatch: error log to errors.jsonl, fail-fast (exit 1), threads, fail-safe"
        ]

    def test_verbose_explains_each(self, serve_project):
        pytest.importorskip("flask")
        server = serve_project(flask_files(), *FLASK_RUN, "--debug", **ALL, DEVPATCH_VERBOSE="1")
        lines = messages_of(server)
        assert len(lines) == 4
        assert (
            "devpatch: fail-fast is on for flask run: the first unhandled error stops it with exit status 1"
            in lines
        )

    def test_one_request_at_a_time_is_not_called_threading(self, serve):
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_THREADED="0")
        assert messages_of(server) == ["devpatch: one request at a time"]


class TestColours:
    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            ({}, True),
            ({"NO_COLOR": "1"}, False),
            ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
            ({"TERM": "dumb"}, False),
        ],
    )
    def test_on_a_terminal(self, variables, expected):
        mode, port = BY_ID["wsgiref-serve_forever"], free_port()
        environ = clean_environment(**{"TERM": "xterm", "DEVPATCH_FAILFAST": "1", **variables})
        terminal = Terminal(mode.command(port), mode.directory, environ)
        terminal.read_until("fail-fast (exit 1)")
        time.sleep(0.2)
        terminal.read_until("\n")
        terminal.process.send_signal(signal.SIGKILL)
        assert bool(COLOURED.search(terminal.text)) is expected, terminal.text

    @pytest.mark.parametrize(("variables", "expected"), [({}, False), ({"FORCE_COLOR": "1"}, True)])
    def test_in_a_file(self, serve, variables, expected):
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_FAILFAST="1", **variables)
        assert bool(COLOURED.search(server.stderr)) is expected


EVIL = r"raise ValueError('a \x1b[31;1mred\x1b[0m bell \x07 title \x1b]0;owned\x07 end')"


class TestControlCharacters:
    @pytest.mark.parametrize("accept", ["text/plain", "application/json", "text/html"])
    def test_in_the_answers_of_a_failed_load(self, serve_project, tmp_path, accept):
        """A failed system check has colours if the server's stderr is a terminal."""
        pytest.importorskip("flask")
        server = serve_project(
            flask_files(), *FLASK_RUN, "--debug", **ON, DEVPATCH_ERROR_LOG=str(tmp_path / "errors")
        )
        save(server.directory / "app.py", EVIL)
        wait_until_broken(server, "ValueError")
        body = server.get("/ok/", headers=[f"Accept: {accept}"]).body.decode()
        assert "a red bell" in body
        assert not CONTROLS.search(body)
        assert not CONTROLS.search(str(json.loads(body)) if accept.endswith("json") else "")
        line = json.loads((tmp_path / "errors").read_text().splitlines()[0])
        assert "a red bell" in line["exception"]["message"]
        assert not CONTROLS.search(str(line))
        assert not any(map(CONTROLS.search, messages_of(server)))
        stop_with_ctrl_c(server)

    def test_in_the_report_of_fail_fast(self, serve_project):
        pytest.importorskip("flask")
        tail = f"@app.get('/evil/')\ndef evil(): {EVIL}"
        server = serve_project(flask_files(tail=tail), *FLASK_RUN, DEVPATCH_FAILFAST="1")
        server.get("/evil/")
        assert server.exit_status() == 1
        report = [line for line in messages_of(server) if "ValueError" in line]
        assert report and "a red bell <U+0007> title" in report[0]
        assert not any(map(CONTROLS.search, messages_of(server)))


class TestFailSafe:
    def test_the_waiting_line_names_the_error_and_requests_are_logged(self, serve_project):
        pytest.importorskip("django")
        server = serve_project(django_files(), *RUNSERVER, **ON)
        views = server.directory / "views.py"
        whole = views.read_text()
        save(views, whole + "\nif True\n    pass\n")
        wait_until_broken(server, "SyntaxError")
        line = next(line for line in messages_of(server) if "waiting" in line)
        assert line.startswith(
            f"devpatch: fail-safe: SyntaxError in views.py:{len(whole.splitlines()) + 2}: "
        )
        assert "waiting for a change in" in line
        before = server.stderr.count('"GET /logged/?a=1 HTTP/1.1" 500 ')
        server.get("/logged/?a=1")
        assert server.stderr.count('"GET /logged/?a=1 HTTP/1.1" 500 ') == before + 1
        stop_with_ctrl_c(server)
