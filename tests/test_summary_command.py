"""devpatch summary FILE: the table and the page."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from harness import python
from summaries import start, valid  # noqa: F401

from devpatch.commands import summary, summary_page

BEGIN = datetime(2026, 11, 20, 10, 15, tzinfo=timezone.utc)


def line(route, total, *, at=0.0, queries=0, alike=None, **more):
    """Return a line of the file. ``at`` is in seconds, ``total`` in milliseconds."""
    found = alike and {"count": alike, "sql": "SELECT ?", "file": "/src/<views>.py", "line": 31}
    data = {
        "time": (BEGIN + timedelta(seconds=at)).isoformat(timespec="microseconds"),
        "server": "runserver",
        "process": 1,
        "thread": "t",
        "method": "GET",
        "path": f"/{route}",
        "route": route,
        "status": 200,
        "total_ms": total,
        "cpu_ms": total,
        "first_byte_ms": None,
        "queue_ms": 0.0,
        "sql": {"count": queries, "ms": 1.0, "alike": found},
        "cache": None,
        "memory": None,
        "session": None,
        "user": None,
        "slow": False,
        "n_plus_one": bool(alike and alike > 10),
        **more,
    }
    text = json.dumps(data)
    valid(text)
    return text


@pytest.fixture
def write(tmp_path):
    def write(*lines):
        file = tmp_path / "requests.jsonl"
        file.write_text("\n".join(lines) + "\n")
        return str(file)

    return write


def run(*arguments, **variables):
    return python("-m", "devpatch", "summary", *arguments, **variables)


def test_the_table(write):
    orders = [line("orders/", total, queries=3) for total in range(1, 101)]
    items = [line("items/", 900, queries=12, alike=11), line("items/", 100, queries=8, alike=7)]
    other = [
        line("items/", 1, method="POST"),
        line("", 4),
        line(None, 2, status=404, path="/x"),
        line(None, 3, path="/bare"),
    ]
    result = run(write(*orders, *items, *other))
    assert (result.returncode, result.stderr) == (0, "")
    rows = [re.split(r"  +", row) for row in result.stdout.splitlines()]
    assert rows == [
        ["route", "requests", "p50", "p95", "queries", "most repeated query"],
        ["GET orders/", "100", "50 ms", "95 ms", "3"],
        ["GET items/", "2", "100 ms", "900 ms", "8", "11 alike at /src/<views>.py:31"],
        ["GET /", "1", "4.0 ms", "4.0 ms", "0"],
        ["GET /bare", "1", "3.0 ms", "3.0 ms", "0"],
        ["GET (no route)", "1", "2.0 ms", "2.0 ms", "0"],
        ["POST items/", "1", "1.0 ms", "1.0 ms", "0"],
    ]


def test_the_table_of_a_real_server(start):  # noqa: F811
    project = start("flask run")
    for _ in range(3):
        project.get("/sync/12/")
    result = run(str(project.log))
    assert re.search(
        r"^GET /sync/<int:number>/ +3 +[\d.]+ ms +[\d.]+ ms +12  12 alike at .*cost_app\.py:\d+$",
        result.stdout,
        re.MULTILINE,
    )


@pytest.mark.parametrize(
    "values,percent,expected",
    [([5], 50, 5), ([5], 95, 5), ([1, 2], 50, 1), ([1, 2], 95, 2), (list(range(1, 21)), 95, 19)],
)
def test_percentiles(values, percent, expected):
    assert summary.percentile(values, percent) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        '"x"',
        "{}",
        '{"time": 3}',
        line("x", 1).replace('"total_ms": 1', '"total_ms": "x"'),
    ],
)
def test_lines_that_are_no_requests(write, text):
    """The others count, and a message says how many were left out."""
    result = run(write(line("a/", 1), text))
    assert result.returncode == 0
    assert "GET a/" in result.stdout
    assert ("1 line of " in result.stderr) == bool(text)
    file = write(text)
    result = run(file)
    assert (result.returncode, result.stdout) == (2, "")
    kind = f"{file} is not a summary log of devpatch; name the file of DEVPATCH_SUMMARY_LOG"
    expected = kind if text else f"there are no requests in {file}"
    assert result.stderr == f"devpatch: {expected}\n"


def test_the_variable_names_the_file(write):
    file = write(line("a/", 1))
    assert run(DEVPATCH_SUMMARY_LOG=file).stdout == run(file).stdout != ""
    result = run()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        "devpatch: name a file: devpatch summary FILE, or set DEVPATCH_SUMMARY_LOG"
    )


def test_a_file_that_is_not_there(tmp_path, write):
    result = run(str(tmp_path / "no.jsonl"))
    assert (result.returncode, "can't be read" in result.stderr) == (2, True)
    result = run(write(line("a/", 1)), "--html", str(tmp_path / "no" / "out.html"))
    assert (result.returncode, "can't be written" in result.stderr) == (2, True)


def test_sessions_and_their_timelines():
    """A long pause separates two sessions. A shorter one is shortened."""
    texts = [line("a/", 100, at=0), line("b/", 100, at=0.05), line("c/", 100, at=60), line("d/", 50, at=1000)]
    requests = [summary.parse(text) for text in texts]
    sessions = list(summary_page.sessions(requests))
    assert [[request.route for request in session] for session in sessions] == [["a/", "b/", "c/"], ["d/"]]
    whole = 0.15 + 0.3 + 0.1  # seconds
    expected = [(0, 0.1 / whole), (0.05 / whole, 0.1 / whole), (0.45 / whole, 0.1 / whole)]
    for found, wanted in zip(summary_page.places(sessions[0]), expected, strict=True):
        assert found == pytest.approx(wanted)
    assert summary_page.places(sessions[1]) == [(0, pytest.approx(1))]


class TestThePage:
    @pytest.fixture
    def page(self, write, tmp_path):
        lines = [line("orders/", 40, at=n / 10, session="ab12cd") for n in range(5)]
        lines += [line("items/", 900, at=1, queries=12, alike=11), line("<b>/", 1, at=2000)]
        out = tmp_path / "out.html"
        assert run(write(*lines), "--html", str(out)).returncode == 0
        return out

    def test_it_needs_no_network_and_runs_no_script(self, page):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"https?://|<script|@import|url\(|src=", text)
        assert "<b>" not in text
        assert "&lt;b&gt;/" in text
        assert "11 alike at /src/&lt;views&gt;.py:31" in text

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_in_a_browser(self, page, browser, scheme):
        """The bars have the widths of the times, and axe finds nothing against the page."""
        context = browser.new_context(color_scheme=scheme, viewport={"width": 1200, "height": 900})
        tab = context.new_page()
        asked = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri())
        assert asked == [page.as_uri()]
        rows = tab.locator("section").first.locator("tbody tr")
        assert rows.count() == 3
        widths = [rows.nth(n).locator(".bar").last.bounding_box()["width"] for n in range(2)]
        assert widths[1] / widths[0] == pytest.approx(40 / 900, rel=0.1)
        timelines = tab.locator("section").filter(has_text="Session of")
        assert timelines.count() == 2
        lefts = [
            timelines.first.locator(".bar").nth(n).bounding_box()["x"]
            for n in range(timelines.first.locator(".bar").count())
        ]
        assert lefts == sorted(lefts)
        assert len(set(lefts)) == 6
        background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(20, 23, 27)") == (scheme == "dark")
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        results = axe.Axe().run(tab)
        assert results.violations_count == 0, results.generate_report()
        context.close()


def test_the_header_in_a_browsers_own_tools(start, browser):  # noqa: F811
    """A real browser reads Server-Timing, as its Network panel does."""
    for name in ("runserver", "flask run"):
        project = start(name)
        tab = browser.new_page()
        tab.goto(f"http://127.0.0.1:{project.server.port}/page/")
        entries = tab.evaluate(
            "performance.getEntriesByType('navigation')[0].serverTiming.map(e => [e.name, e.duration, e.description])"
        )
        tab.close()
        found = {entry[0]: entry[1:] for entry in entries}
        assert found["sql"][1] == "3 queries"
        assert 0 < found["sql"][0] <= found["total"][0]
        assert found["total"][0] < 10_000
