"""DEVPATCH_SUMMARY: what is printed, what is left out, and what the switch does not touch."""

from __future__ import annotations

import re
import socket

import pytest
from harness import read_response, wait_for
from summaries import start, timing  # noqa: F401

SECRET = "secret value"


@pytest.fixture(scope="module")
def everything(start):  # noqa: F811
    """A server with every part but the single queries."""
    return start("runserver", DEVPATCH_SUMMARY="time,sql,cache,memory,session,ajax,header")


class TestTheLine:
    def test_it_follows_the_servers_own_line(self, everything):
        everything.get("/sync/3/")
        assert re.fullmatch(
            r" {4}[\d.]+ ms \([\d.]+ ms CPU\) · 3 queries in [\d.]+ ms"
            r" · 3 alike at views\.py:\d+: SELECT … FROM stock_item WHERE \(id = \? AND name = \?\)"
            r"( · \+[\d.]+ MiB)?",
            everything.printed("/sync/3/"),
        )

    def test_without_sql_and_the_others(self, start):  # noqa: F811
        project = start("runserver", DEVPATCH_SUMMARY="time")
        response, line = project.get("/sync/3/")
        assert re.fullmatch(r" {4}[\d.]+ ms \([\d.]+ ms CPU\)", project.printed("/sync/3/"))
        assert [line[name] for name in ("sql", "cache", "memory", "session", "user")] == [None] * 5
        assert timing(response) == {}

    def test_memory_above_1_mib(self, everything):
        _response, line = everything.get("/memory/")
        assert line["memory"] > 7_000_000
        assert re.search(r" · \+\d+\.\d MiB", everything.printed("/memory/"))
        everything.get("/ok/")
        assert "MiB" not in everything.printed("/ok/")

    def test_session_and_user(self, everything):
        """The user's name is shown only if the application has asked for the user, because that takes a query."""
        response, line = everything.get("/sign_in/")
        key = response.body.decode()
        assert (line["session"], line["user"]) == (key[:6], "anna")
        assert f" · session {key[:6]} · user anna" in everything.printed("/sign_in/")
        assert key not in everything.server.stderr + everything.log.read_text()
        cookie = (f"Cookie: sessionid={key}",)
        _response, line = everything.get("/who/", headers=cookie)
        assert (line["session"], line["user"], line["sql"]["count"]) == (key[:6], "anna", 2)
        _response, line = everything.get("/visit/", headers=cookie)
        assert (line["session"], line["user"], line["sql"]["count"]) == (key[:6], None, 0)

    @pytest.mark.parametrize("header", ["X-Requested-With: XMLHttpRequest", "Sec-Fetch-Dest: empty"])
    def test_json_responses_to_scripts(self, everything, header):
        response, _line = everything.get("/data/", headers=(header,))
        shown = everything.printed("/data/").rpartition(" · ")[2]
        assert shown == response.body.decode()[:300]
        everything.get("/data/")
        assert '"number"' not in everything.printed("/data/")
        everything.get("/page/", headers=(header,))
        assert "doctype" not in everything.printed("/page/")

    def test_json_responses_of_flask(self, start):  # noqa: F811
        project = start("flask run", DEVPATCH_SUMMARY="time,ajax")
        project.get("/cached/", headers=("X-Requested-With: XMLHttpRequest",))
        assert project.printed("/cached/").endswith(" · [4,4,5,4]")

    def test_static_files_and_ignored_paths_are_left_out(self, start):  # noqa: F811
        project = start("runserver", DEVPATCH_SUMMARY_IGNORE="/data, /memory/")
        for path in ("/static/none.css", "/data/", "/memory/"):
            response = project.server.get(path)
            assert timing(response) == {}
        project.get("/page/")
        assert project.lines("/static/") == project.lines("/data/") == project.lines("/memory/") == []
        assert project.printed("/data/").startswith("[")

    def test_static_files_of_flask_are_left_out(self, start):  # noqa: F811
        project = start("flask run")
        assert timing(project.server.get("/static/none.css")) == {}
        project.get("/page/")
        assert project.lines("/static/") == []

    def test_each_query_as_it_happens(self, start):  # noqa: F811
        """Only "sql+" shows parameters. The queries are printed before the server's own line."""
        project = start("runserver", DEVPATCH_SUMMARY="time,sql+")
        project.get("/sync/2/")
        lines = project.server.stderr.splitlines()
        end = next(number for number, line in enumerate(lines) if "/sync/2/" in line)
        for line in lines[end - 2 : end]:
            assert re.fullmatch(
                r" {4}[\d.]+ ms at views\.py:\d+: SELECT .* WHERE .*%s.*  \((0|1), 'secret value'\)", line
            )
        assert SECRET not in project.log.read_text()

    def test_a_stream_that_is_slow(self, start):  # noqa: F811
        project = start("runserver", DEVPATCH_SUMMARY_SLOW="1")
        _response, line = project.get("/stream/3/")
        assert line["slow"]
        assert re.match(
            r" {4}slow: first byte after [\d.]+ ms, last after [\d.]+ ms \([\d.]+ ms CPU\) · ",
            project.printed("/stream/3/"),
        )

    def test_a_client_that_leaves_has_a_line(self, everything):
        """A response that is cut short has no line of the server. Its costs are told all the same."""
        connection = everything.server.send("/slow/?seconds=0.5")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        connection.close()
        wait_for(lambda: everything.lines("/slow/"), "a line")

    def test_kept_connections(self, everything):
        """Each request of a connection has its own line."""
        with everything.server.connect() as connection:
            for number in (2, 4, 3):
                everything.server.send(f"/sync/{number}/?kept", connection=connection)
                assert read_response(connection).body == str(number).encode()
        wait_for(lambda: everything.lines("/sync/2/"), "a line")
        wait_for(lambda: everything.lines("/sync/4/"), "a line")
        assert everything.lines("/sync/4/")[-1]["sql"]["count"] == 4


class TestColours:
    @pytest.mark.parametrize(
        "variables,path,expected",
        [
            ({"FORCE_COLOR": "1"}, "/sync/2/", "\x1b[2m    "),
            ({"FORCE_COLOR": "1"}, "/sync/11/", "\x1b[33m    "),
            ({"FORCE_COLOR": "1", "DEVPATCH_SUMMARY_SLOW": "100"}, "/slow/", "\x1b[33m    slow: "),
            ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "/sync/11/", "    "),
            ({}, "/sync/11/", "    "),
        ],
        ids=["dimmed", "n-plus-one", "slow", "no-color", "piped"],
    )
    def test_a_request_that_stands_out(self, start, variables, path, expected):  # noqa: F811
        project = start("runserver", **variables)
        _response, line = project.get(path)
        printed = project.printed(path)
        assert printed.startswith(expected)
        assert ("\x1b" in printed) == ("\x1b" in expected)
        assert line["n_plus_one"] == ("11" in path) == ("N+1: 11 alike" in printed)
        assert line["slow"] == ("slow" in path) == ("slow: " in printed)

    def test_queries_are_highlighted(self, start):  # noqa: F811
        pytest.importorskip("pygments")
        project = start("runserver", DEVPATCH_SUMMARY="sql+", FORCE_COLOR="1")
        project.get("/sync/1/")
        assert re.search(r"\x1b\[\d+m(SELECT|FROM)\x1b\[", project.server.stderr)


class TestTheRestIsUntouched:
    def test_parameters_are_neither_shown_nor_written(self, everything):
        for kind in ("sync", "raw", "stream"):
            everything.get(f"/{kind}/3/?name={SECRET.replace(' ', '+')}")
        text = everything.log.read_text()
        assert SECRET not in text
        assert "secret" not in text
        printed = [line for line in everything.server.stderr.splitlines() if line.startswith("    ")]
        assert len(printed) > 3
        assert SECRET not in "\n".join(printed)

    @pytest.mark.parametrize("name", ["runserver", "flask run"])
    def test_only_the_header_is_added(self, start, name):  # noqa: F811
        """The response is byte for byte that of the server without the switch, but for the header and the date."""
        off, on = start(name, DEVPATCH_SUMMARY="", DEVPATCH_SUMMARY_LOG=""), start(name)
        for path in ("/ok/", "/page/", "/nothing/", "/stream/3/", "/static/none.css"):
            plain, summed = (
                re.sub(r"(?m)^(Date|Server): .*\r?$", "", project.server.get(path).headers)
                for project in (off, on)
            )
            assert re.sub(r"(?m)^Server-Timing: .*\r?(\n|$)", "", summed).split() == plain.split(), path
            bodies = [
                project.server.get(path).body.replace(str(project.server.port).encode(), b"")
                for project in (off, on)
            ]
            assert bodies[0] == bodies[1], path

    @pytest.mark.parametrize(
        "variables",
        [{"DEVPATCH_SUMMARY": "", "DEVPATCH_FAILFAST": "1"}, {"DEVPATCH_SUMMARY": "0"}],
        ids=["another-switch", "0"],
    )
    def test_off_patches_nothing_of_it(self, start, variables):  # noqa: F811
        project = start("runserver", **{**variables, "DEVPATCH_SUMMARY_LOG": ""})
        response = project.server.get("/wrappers/")
        assert response.body == b"[0, false, false]"
        assert timing(response) == {}
        on = start("runserver")
        assert on.server.get("/wrappers/").body == b"[0, true, true]"

    def test_together_with_the_other_switches(self, start, tmp_path):  # noqa: F811
        """The line of the request that fails is printed before fail-fast ends the process."""
        project = start(
            "runserver",
            DEVPATCH_FAILFAST="1",
            DEVPATCH_FAILSAFE="1",
            DEVPATCH_THREADED="4",
            DEVPATCH_ERROR_LOG=str(tmp_path / "errors.jsonl"),
        )
        project.get("/sync/3/")
        project.server.get("/fail/")
        assert project.server.exit_status() == 1
        assert project.lines("/fail/")[-1]["sql"]["count"] == 1
        assert (tmp_path / "errors.jsonl").read_text().count("\n") == 1

    def test_a_log_that_can_not_be_written(self, start, tmp_path):  # noqa: F811
        missing = str(tmp_path / "no" / "requests.jsonl")
        project = start("flask run", wait=False, DEVPATCH_SUMMARY_LOG=missing)
        assert project.server.exit_status() == 2
        assert f"DEVPATCH_SUMMARY_LOG={missing!r} can't be written" in project.server.stderr

    def test_an_unknown_word(self, start):  # noqa: F811
        project = start("runserver", wait=False, prepare=False, DEVPATCH_SUMMARY="time,sq")
        assert project.server.exit_status() == 2
        message = (
            "DEVPATCH_SUMMARY='time,sq' is not valid: use 1, true, yes, on, 0, false, no or off, or a list of"
        )
        assert f"{message} time, sql, cache, memory, session, ajax, header and sql+" in project.server.stderr

    def test_the_line_at_the_start(self, everything):
        expected = "devpatch: summary (time, sql, cache, memory, session, ajax, header)"
        assert expected in everything.server.stderr.splitlines()
