"""DEVPATCH_SUMMARY: the numbers of each request are those that Django and SQLAlchemy count themselves."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from harness import free_port, wait_for
from summaries import COMMANDS, number_in, start, timing  # noqa: F401

DJANGO_KINDS = ("sync", "databases", "atomic", "raw", "wrapped", "asynchronous", "gathered", "stream")
FLASK_KINDS = ("sync", "raw", "asynchronous", "stream")
STREAMS = ("stream",)


def kinds_of(name):
    return DJANGO_KINDS if COMMANDS[name][0] == "django" else FLASK_KINDS


@pytest.fixture(scope="module")
def runserver(start):  # noqa: F811
    return start("runserver")


class TestNumbers:
    @pytest.mark.parametrize("name,debug", [*((name, "1") for name in COMMANDS), ("runserver", "0")])
    def test_queries(self, start, name, debug):  # noqa: F811
        """
        1. Request each kind of view. It answers with the number of queries that the framework itself has counted.
        2. The log, the printed line and the header say the same number. A stream has no header.
        """
        project = start(name, SITE_DEBUG=debug)
        for kind in kinds_of(name):
            response, line = project.get(f"/{kind}/5/")
            assert response.status == 200, kind
            number = number_in(response)
            assert number >= 5
            assert line["sql"]["count"] == number, kind
            assert line["route"] in (f"{kind}/<int:number>/", f"/{kind}/<int:number>/")
            assert line["status"] == 200
            assert line["server"] == name.removesuffix(" debug").removesuffix(" nothreading")
            assert f"{number} queries in " in project.printed(f"/{kind}/5/"), kind
            if kind in STREAMS:
                assert timing(response) == {}
                assert 0 < line["first_byte_ms"] < line["total_ms"]
                assert "first byte after " in project.printed(f"/{kind}/5/")
            else:
                assert f'desc="{number} queries"' in timing(response)["sql"], kind
                assert line["first_byte_ms"] is None
            assert line["sql"]["ms"] > 0

    @pytest.mark.parametrize("kind", ["sync", "databases", "raw", "asynchronous", "gathered", "stream"])
    def test_the_line_of_the_users_own_code(self, runserver, kind):
        _response, line = runserver.get(f"/{kind}/6/")
        alike = line["sql"]["alike"]
        assert alike["count"] == (8 if kind == "databases" else 6), alike
        assert Path(alike["file"]).name == "views.py"
        source = Path(alike["file"]).read_text().splitlines()[alike["line"] - 1]
        expected = {"raw": "cursor.execute", "asynchronous": ".afirst()"}.get(kind, "list(Item.objects")
        assert expected in source
        assert alike["sql"].count("?") >= 1
        printed = runserver.printed(f"/{kind}/6/")
        assert f"{alike['count']} alike at views.py:{alike['line']}: SELECT" in printed
        assert not line["n_plus_one"]
        assert "N+1" not in printed

    def test_flask_has_the_line_too(self, start):  # noqa: F811
        project = start("flask run")
        _response, line = project.get("/sync/12/")
        alike = line["sql"]["alike"]
        assert (alike["count"], Path(alike["file"]).name) == (12, "cost_app.py")
        assert "db.session.execute" in Path(alike["file"]).read_text().splitlines()[alike["line"] - 1]
        expected = (
            f"N+1: 12 alike at cost_app.py:{alike['line']}: SELECT … FROM item WHERE id = ? AND name = ?"
        )
        assert expected in project.printed("/sync/12/")

    @pytest.mark.parametrize("name", ["runserver", "runserver_plus", "flask run"])
    def test_caches(self, start, name):  # noqa: F811
        """The view answers with the numbers that it knows."""
        project = start(name)
        for _ in range(2):  # The caches exist at the second request.
            response, line = project.get("/cached/")
            found = [line["cache"][key] for key in ("hits", "misses", "sets", "deletes")]
            assert found == json.loads(response.body)
        assert re.search(
            r"cache \d+ hits, \d+ misses, \d+ sets, \d+ deletes in ", project.printed("/cached/")
        )
        assert re.fullmatch(
            r'dur=[\d.]+;desc="\d+ hits, \d+ misses, \d+ sets, \d+ deletes"', timing(response)["cache"]
        )
        if name == "runserver":
            _response, line = project.get("/cached_async/")
            assert [line["cache"][key] for key in ("hits", "misses", "sets", "deletes")] == [1, 0, 1, 0]

    def test_queries_outside_of_a_request_belong_to_none(self, runserver):
        _response, line = runserver.get("/thread/")
        assert line["sql"]["count"] == 0

    def test_a_failed_query_counts_and_leaves_no_trace(self, runserver):
        """Neither the debug page nor the log of Django has a frame of devpatch."""
        response, line = runserver.get("/fail/")
        assert (response.status, line["status"], line["sql"]["count"]) == (500, 500, 1)
        assert b"devpatch/" not in response.body
        assert "devpatch/" not in runserver.server.stderr.partition('"GET /ok/')[2]

    def test_flask_leaves_no_trace_either(self, start):  # noqa: F811
        project = start("flask run debug")
        response, line = project.get("/fail/")
        assert (response.status, line["sql"]["count"]) == (500, 1)
        assert b"devpatch/" not in response.body

    def test_postgresql(self, start, postgresql):  # noqa: F811
        project = start("runserver", SITE_DATABASE=postgresql)
        for kind in DJANGO_KINDS:
            response, line = project.get(f"/{kind}/5/")
            assert response.status == 200, response.body[:3000]
            assert line["sql"]["count"] == int(response.body), kind


class TestConcurrency:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "name,variables",
        [
            ("runserver", {}),
            ("runserver", {"DEVPATCH_THREADED": "4"}),
            ("runserver_plus", {}),
            ("flask run", {}),
            ("flask run", {"DEVPATCH_THREADED": "4"}),
        ],
        ids=["runserver", "runserver-pool", "runserver_plus", "flask-run", "flask-run-pool"],
    )
    def test_no_query_gets_to_another_request(self, start, name, variables):  # noqa: F811
        """
        1. Send 8 requests at once, 50 times. They are of each kind, with numbers of queries that differ.
        2. Each line has the number that the framework counted for that request.
        """
        project = start(name, **variables)
        kinds = [kind for kind in kinds_of(name) if kind not in ("atomic", "raw")]
        paths = [
            f"/{kinds[n % len(kinds)]}/{n % 7 + 1}/?{round_}-{n}" for round_ in range(50) for n in range(8)
        ]
        answers: dict[str, list[int]] = {}

        def ask(path):
            response = project.server.get(path)
            assert response.status == 200, path
            answers.setdefault(path.partition("?")[0], []).append(number_in(response))

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, paths))
        wait_for(lambda: len(project.lines()) >= len(paths) + 1, "a line for each request")
        assert sum(map(len, answers.values())) == 400
        for path, numbers in answers.items():
            counts = [line["sql"]["count"] for line in project.lines(path)]
            assert sorted(counts) == sorted(numbers), path
            assert len(set(counts)) == 1, path

    def test_the_wait_for_a_thread_is_told_apart(self, start):  # noqa: F811
        """Two threads, and a third request that has to wait for them."""
        project = start("runserver", DEVPATCH_THREADED="2")
        threads = [threading.Thread(target=project.server.get, args=("/slow/?seconds=3",)) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.4)
        response, line = project.get("/ok/")
        for thread in threads:
            thread.join()
        assert line["queue_ms"] > 100
        assert line["total_ms"] < line["queue_ms"]
        assert float(timing(response)["queue"].removeprefix("dur=")) == pytest.approx(line["queue_ms"], abs=1)
        assert re.search(r"waited \d+ ms for a thread", project.printed("/ok/"))
        assert all(other["queue_ms"] < line["queue_ms"] for other in project.lines("/slow/"))


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    """Start a PostgreSQL server, and return the settings of its database for Django."""
    pytest.importorskip("psycopg")
    initdb = shutil.which("initdb") or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None
    )
    if initdb is None:
        pytest.skip("no PostgreSQL")
    folder = tmp_path_factory.mktemp("postgresql")
    user: dict = {}
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # PostgreSQL does not run for root.
        user = {"user": "nobody"}
        for parent in (folder, *folder.parents):
            if parent.owner() == "root" and parent != Path("/tmp") and parent != Path("/"):
                os.chmod(parent, 0o755)
        shutil.chown(folder, "nobody")
    run = {"check": True, "capture_output": True, "cwd": folder, **user}
    subprocess.run([initdb, "-D", folder / "data", "-U", "site", "--auth=trust"], **run)
    port = free_port()
    server = subprocess.Popen(
        [Path(initdb).with_name("postgres"), "-D", folder / "data", "-p", str(port), "-k", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **user,
    )
    try:
        import psycopg

        def answers():
            try:
                psycopg.connect(host="127.0.0.1", port=port, user="site", dbname="postgres").close()
            except psycopg.OperationalError:
                return False
            return True

        wait_for(answers, "PostgreSQL")
        yield json.dumps(
            {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": "postgres",
                "USER": "site",
                "HOST": "127.0.0.1",
                "PORT": port,
            }
        )
    finally:
        server.terminate()
        server.wait()
