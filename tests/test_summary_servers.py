"""DEVPATCH_SUMMARY on each server, in each of its modes, and beside other tools that watch queries."""

from __future__ import annotations

import importlib.util
import json
import re
import sys

import pytest
from harness import APPS, wait_for
from summaries import start, timing, valid  # noqa: F401

sys.path.append(str(APPS))
import patched

LINE = re.compile(
    r" {4}(first byte after [\d.]+ ms, last after )?[\d.]+ ms \([\d.]+ ms CPU\)( · \+[\d.]+ MiB)?"
)


def requests_in(log, path):
    lines = [valid(text) for text in log.read_text().splitlines()] if log.exists() else []
    return [line for line in lines if line["path"] == path]


@pytest.mark.contract
def test_each_server(serve, mode, tmp_path):
    """
    1. Start the server with the summary on, and request a page.
    2. The response has the header, the line follows the server's own line, and the log has the request.
    3. daphne says that the switch has no effect, and adds nothing to its response.
    """
    log = tmp_path / "requests.jsonl"
    server = serve(mode, DEVPATCH_SUMMARY="1", DEVPATCH_SUMMARY_LOG=str(log), DEVPATCH_SUMMARY_SLOW="60000")
    response = server.get("/ok/?asked")
    assert response.status == 200
    if mode.server == "daphne":
        assert "devpatch: summary has no effect on daphne: " in server.stderr
        assert timing(response) == {}
        assert requests_in(log, "/ok/") == []
        return
    assert "devpatch: summary (time, sql, cache, memory, header)" in server.stderr.splitlines()
    if mode.server == "run_simple":
        # The bare application gives no Content-Length, so this server can't tell its response from a stream.
        assert timing(response) == {}
    else:
        assert float(timing(response)["total"].removeprefix("dur=")) >= 0
        assert timing(response)["sql"] == 'dur=0.0;desc="0 queries"'
    # The first request asked whether the server is ready.
    wait_for(lambda: len(requests_in(log, "/ok/")) >= 2, lambda: f"two requests; {server.stderr}")
    last = requests_in(log, "/ok/")[-1]
    assert (last["server"], last["method"], last["status"]) == (mode.server, "GET", 200)

    def below():
        lines = server.stderr.splitlines()
        numbers = [number for number, line in enumerate(lines) if "/ok/?asked HTTP/1" in line]
        return lines[numbers[-1] + 1 : numbers[-1] + 2] if numbers else None

    found = wait_for(below, lambda: f"a line under that of the request; {server.stderr}")
    assert LINE.fullmatch(found[0]), found


def skip_without(*modules):
    for module in modules:
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            pytest.skip(f"{module} is not installed")


OFF = {"DEVPATCH_SUMMARY": "", "DEVPATCH_SUMMARY_LOG": ""}
INSTRUMENTED = {"runserver": ("django", "sqlite3"), "flask run": ("flask", "sqlalchemy")}


@pytest.mark.parametrize("name,targets", [("runserver", patched.DJANGO), ("flask run", patched.FLASK)])
def test_off_costs_nothing(start, name, targets):  # noqa: F811
    """Without the switch, none of its functions is in place. Without any switch, no module of devpatch is loaded."""
    reports = {}
    for variables in ({}, {"DEVPATCH_SUMMARY": "0"}, {"DEVPATCH_FAILFAST": "1"}, {"DEVPATCH_SUMMARY": "1"}):
        project = start(name, **{**OFF, **variables})
        reports[str(variables)] = json.loads(project.server.get("/patches/").body)
    nothing, zero, another, on = reports.values()
    assert nothing == {"modules": [], "patched": []}
    assert [name for name in zero["modules"] if "summary" in name or "integrations" in name] == []
    assert zero["patched"] == another["patched"] == []
    assert on["patched"] == targets


class TestOtherTools:
    @pytest.mark.parametrize("name", INSTRUMENTED)
    def test_opentelemetry(self, start, name, tmp_path):  # noqa: F811
        """
        1. OpenTelemetry instruments the framework and the database. Request pages with the switch off, and on.
        2. The spans are the same, and the summary counts the queries that have a span.
        """
        skip_without(
            "opentelemetry.sdk", *(f"opentelemetry.instrumentation.{part}" for part in INSTRUMENTED[name])
        )
        spans = {}
        for variables in (OFF, {}):
            file = tmp_path / f"spans{len(spans)}"
            project = start(
                name, prepare=not spans, SITE_SPANS=str(file), SITE_FOLDER=str(tmp_path), **variables
            )
            port = str(project.server.port)
            file.write_text("")
            for path in ("/page/", "/sync/4/", "/raw/3/", "/stream/2/", "/fail/"):
                project.server.get(path)
            wait_for(lambda file=file: "/fail/" in file.read_text(), lambda file=file: file.read_text())
            spans[len(spans)] = sorted(file.read_text().replace(port, "PORT").splitlines())
            statements = [span for span in map(json.loads, spans[0]) if "db.statement" in span[3]]
            if not statements and name == "flask run":
                pytest.skip("OpenTelemetry does not know this version of SQLAlchemy")
            assert len(statements) > 10
        assert spans[0] == spans[1]
        assert project.lines("/sync/4/")[-1]["sql"]["count"] == 4

    @pytest.mark.parametrize(
        "name,module", [("runserver", "debug_toolbar"), ("flask run", "flask_debugtoolbar")]
    )
    def test_debug_toolbars(self, start, name, module):  # noqa: F811
        """The toolbar counts the queries that it counts without the switch, and the summary counts the same."""
        skip_without(module)
        counts = []
        for variables in (OFF, {}):
            project = start(name, SITE_TOOLBAR="1", **variables)
            body = project.server.get("/page/").body.decode()
            text = " ".join(re.sub(r"<[^>]*>", " ", body).split())
            counts.append(re.findall(r"\b(\d+) quer(?:y|ies)", text)[0])
        assert counts == ["3", "3"]
        _response, line = project.get("/page/")
        assert line["sql"]["count"] == 3
        assert "/page/" in line["path"]
