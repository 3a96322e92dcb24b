"""DEVPATCH_SUMMARY on each server, in each of its modes, and beside other tools that watch queries."""

from __future__ import annotations

import re

import pytest
from harness import wait_for
from summaries import timing, valid

LINE = re.compile(r" {4}[\d.]+ ms \([\d.]+ ms CPU\)( · \+[\d.]+ MiB)?")


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
