"""The error page of a fail-safe session, in a real browser and with hostile clients."""

from __future__ import annotations

import importlib.resources
import json
import resource
import socket
import sys
import threading
import time

import pytest
from breakages import save
from harness import parse, receive, wait_for
from servers import BY_ID
from test_failsafe import ON, is_waiting, stop_with_ctrl_c, wait_until_broken

EVIL = "no price <script>document.title='hacked'</script> \u202eevil"
# More frames, and more exceptions in a chain, than the page shows.
LONG = """
def deep(left):
    if left:
        return deep(left - 1)
    raise ValueError('the end')

def chain(left):
    try:
        if left:
            chain(left - 1)
        else:
            raise KeyError('the first')
    except Exception as error:
        raise LookupError(left) from error

try:
    chain(29)
except LookupError:
    deep(150)
"""
GROUP = """
try:
    raise KeyError('before')
except KeyError:
    try:
        raise ExceptionGroup('inner', [OSError('the innermost')])
    except ExceptionGroup as error:
        inner = error
raise ExceptionGroup('outer', [ValueError('one'), inner]) from None
"""
CHAIN = f"""
def prices():
    try:
        {{}}["a"]
    except KeyError as error:
        secret = "a-local-variable"
        raise ValueError({EVIL!r}) from error


prices()
"""


@pytest.fixture
def broken(serve_copy):
    """Start a session with a broken file. Return the server, the file and its working text."""
    mode = BY_ID.get("runserver-reload") or BY_ID["run_simple-reload"]
    server, source = serve_copy(mode, **ON)
    whole = source.read_text()
    save(source, CHAIN + whole)
    wait_until_broken(server, "ValueError")
    wait_for(lambda: is_waiting(server), "the line that it waits for a change")
    return server, source, whole


def open_page(browser, server, path="/ok/", **options):
    page = browser.new_context(**options).new_page()
    page.problems = []
    page.on("console", lambda message: page.problems.append(message.text))
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    # The page connects once more, for events. Otherwise a change right after this would come before that.
    with page.expect_response(lambda response: response.headers.get("content-type") == "text/event-stream"):
        page.goto(f"http://127.0.0.1:{server.port}{path}")
    return page


def problems_of(page):
    """Return the browser's messages without those about the page's status of 500 and the missing favicon."""
    return [text for text in page.problems if "status of 500" not in text and "status of 404" not in text]


def wait_for_text(page, text):
    wait_for(lambda: text in page.inner_text("body"), lambda: f"{text!r} in {page.inner_text('body')}")


@pytest.mark.long
class TestBrowser:
    def test_it_shows_the_error_and_reloads_by_itself(self, broken, browser):
        """
        1. The page shows exception, message, place and cause. It escapes markup and control characters.
        2. It shows the next error without a click, and the repaired application soon after that serves.
        """
        server, source, whole = broken
        page = open_page(browser, server)
        text = page.inner_text("body")
        for part in ("ValueError", "<script>", "<U+202E>evil", "in prices", "Its direct cause:", "KeyError"):
            assert part in text, part
        assert page.title().startswith("ValueError")
        assert "a-local-variable" not in page.inner_text("header")
        save(source, whole + "\nx = (1,\n")
        wait_for_text(page, "'(' was never closed")
        assert page.inner_text(".caret") == "^"
        served = threading.Event()

        def poll():
            while server.get("/ok/").status != 200:
                time.sleep(0.02)
            served.set()

        save(source, whole)
        threading.Thread(target=poll).start()
        wait_for_text(page, "ok")
        assert served.wait(10)
        assert not problems_of(page)
        stop_with_ctrl_c(server)

    def test_it_reloads_after_the_first_start_too(self, serve_copy, browser):
        """There the process runs the whole command again, and its port is closed for a moment."""
        mode = BY_ID.get("runserver-reload")
        if mode is None:
            pytest.skip("no Django")
        server, _source = serve_copy(mode, wait=False, **ON)
        server.kill()
        settings = server.directory / "site_under_test/settings.py"
        whole = settings.read_text()
        save(settings, whole + "\nx = (1,\n")
        server.start()
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        page = open_page(browser, server)
        wait_for_text(page, "'(' was never closed")
        save(settings, "raise ValueError('another one')\n" + whole)
        wait_for_text(page, "another one")
        save(settings, whole)
        wait_for_text(page, "ok")
        stop_with_ctrl_c(server)

    def test_many_tabs_get_an_answer(self, broken, browser):
        """Browsers allow six connections to a site, so only the visible page keeps one open."""
        server, source, whole = broken
        context = browser.new_context()
        for _ in range(8):
            page = context.new_page()
            page.goto(f"http://127.0.0.1:{server.port}/ok/", timeout=10_000)
        save(source, whole)
        wait_for_text(page, "ok")

    def test_after_a_post_it_offers_a_link(self, broken, browser):
        server, source, whole = broken
        page = open_page(browser, server)
        # A form of the application, which the user opened before the error.
        page.route("**/form", lambda route: route.fulfill(body=form, content_type="text/html"))
        form = "<form method='post' action='/ok/'><button>send</button></form>"
        page.goto(f"http://127.0.0.1:{server.port}/form")
        page.click("button")
        wait_for_text(page, "Waits until a file changes")
        save(source, whole)
        wait_for_text(page, "It is back.")
        assert "Your form was not processed" in page.inner_text("#said")
        assert page.is_visible("#again")

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [(1200, 900), (390, 844)], ids=["desktop", "phone"])
    def test_it_is_readable(self, broken, browser, scheme, size):
        """No part is wider than the screen, and axe finds no serious problem."""
        axe = pytest.importorskip("axe_playwright_python.sync_playwright")
        server, _source, _whole = broken
        viewport = {"width": size[0], "height": size[1]}
        page = open_page(browser, server, color_scheme=scheme, viewport=viewport)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
        found = axe.Axe().run(page).response["violations"]
        assert not [rule["id"] for rule in found if rule["impact"] in ("serious", "critical")], found
        assert not problems_of(page)

    def test_the_traceback_is_copied_and_the_source_is_highlighted(self, broken, browser):
        server, _source, _whole = broken
        page = open_page(browser, server, permissions=["clipboard-read", "clipboard-write"])
        page.click("#copy")
        wait_for_text(page, "Copied")
        copied = page.evaluate("() => navigator.clipboard.readText()")
        assert copied.startswith("Traceback (most recent call last):")
        assert copied.rstrip().splitlines()[-1].startswith("ValueError: no price <script>")
        assert page.inner_text("footer").startswith("devpatch")
        pytest.importorskip("pygments")
        assert page.locator(".source .k", has_text="def").count()

    def test_without_an_exception_it_shows_the_last_lines(self, broken, browser):
        server, source, whole = broken
        save(source, f"import os, sys; print('the last words', file=sys.stderr); os._exit(9)\n{whole}")
        wait_until_broken(server, "exit status 9")
        page = open_page(browser, server)
        assert "the server process ended with exit status 9" in page.inner_text("h1")
        assert "the last words" in page.inner_text(".output")

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="no exception groups")
    def test_the_parts_of_an_exception_group_are_shown(self, broken, browser):
        server, source, whole = broken
        save(source, whole + GROUP)
        wait_until_broken(server, "ExceptionGroup")
        page = open_page(browser, server)
        for text in ("ValueError", "the innermost"):
            page.locator(f"details.card:has-text({text!r}) > summary").first.click()
        assert page.get_by_text("the innermost").locator("visible=true").count()
        assert not problems_of(page)


class TestAnswers:
    @pytest.mark.long
    def test_each_client_gets_what_it_asks_for(self, broken):
        server, _source, _whole = broken
        kinds = {
            "text/html,application/xhtml+xml,*/*;q=0.8": "text/html",
            "application/json": "application/json",
            "application/json;q=0.5, text/html;q=0.1": "application/json",
            "text/html;q=0, */*": "text/plain",
            "*/*": "text/plain",
            "nonsense;q=x": "text/plain",
        }
        for accept, kind in kinds.items():
            response = server.get("/ok/", headers=(f"Accept: {accept}",))
            assert response.status == 500
            assert f"Content-Type: {kind}; charset=utf-8" in response.headers, accept
            assert "Cache-Control: no-store" in response.headers
            assert "X-Content-Type-Options: nosniff" in response.headers
        head = server.get("/ok/", method="HEAD", headers=("Accept: text/html",))
        assert (head.status, head.body) == (500, b"")

    @pytest.mark.long
    def test_the_json_matches_its_schema(self, broken):
        jsonschema = pytest.importorskip("jsonschema")
        server, source, whole = broken
        schema = importlib.resources.files("devpatch.features.failsafe.page") / "failure.schema.json"
        texts = [None, whole + "\nx = (1,\n", f"import os; os._exit(9)\n{whole}", whole + LONG]
        texts += [whole + GROUP] if sys.version_info >= (3, 11) else []
        for text in texts:
            if text is not None:
                before = len(server.stderr)
                save(source, text)
                wait_for(
                    lambda before=before: "Ctrl-C quits" in server.stderr[before:],
                    "the next line that it waits for a change",
                )
            answer = json.loads(server.get("/ok/", headers=("Accept: application/json",)).body)
            jsonschema.validate(answer, json.loads(schema.read_text()))
            if text is None:
                assert [link["type"] for link in answer["exceptions"]] == ["KeyError", "ValueError"]
                assert answer["exceptions"][1]["message"] == EVIL.replace("\u202e", "<U+202E>")
            elif text.endswith(LONG):
                first, last = answer["exceptions"][0], answer["exceptions"][-1]
                assert first["earlier_left_out"] == 12
                assert last["frames_left_out"] >= 50
                assert [frame["function"] for frame in last["frames"][-2:]] == ["deep", "deep"]
            elif text.endswith(GROUP):
                (group,) = answer["exceptions"]
                assert [[link["type"] for link in part] for part in group["parts"]] == [
                    ["ValueError"],
                    ["KeyError", "ExceptionGroup"],
                ]
                (inner,) = group["parts"][1][1]["parts"]
                assert inner[0]["message"] == "the innermost"

    @pytest.mark.long
    def test_the_content_security_policy_allows_only_its_own_parts(self, broken):
        server, _source, _whole = broken
        first, second = (server.get("/ok/", headers=("Accept: text/html",)) for _ in range(2))
        policies = [
            next(line for line in response.headers.splitlines() if line.startswith("Content-Security"))
            for response in (first, second)
        ]
        assert policies[0] != policies[1]
        assert "default-src 'none'" in policies[0]
        assert "connect-src 'self'" in policies[0]
        for word in ("unsafe", "http", "*", "data:"):
            assert word not in policies[0].partition(":")[2]

    @pytest.mark.long
    def test_a_host_name_that_others_can_own_gets_no_error(self, broken):
        server, _source, _whole = broken
        allowed = (
            "127.0.0.1",
            "[::1]:80",
            "localhost",
            "web",
            "my.localhost",
            "a.local",
            "b.test:8000",
            "c.internal",
        )
        denied = (
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.com:80",
            "",
            "a.b",
            "x@y.z",
        )
        for host in (*allowed, *denied):
            with server.connect() as connection:
                request = f"GET /ok/ HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"
                connection.sendall(request.encode())
                response = parse(receive(connection))
            assert response.status == 500
            assert (b"prices" in response.body) == (host in allowed), host
        assert b"prices" in server.get("/ok/?next=http://elsewhere.example/").body
        with server.connect() as connection:
            connection.sendall(b"GET /.devpatch/events HTTP/1.1\r\nHost: evil.example\r\n\r\n")
            assert b"text/event-stream" not in receive(connection)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_survives_hostile_clients(broken):
    """
    1. 200 incomplete requests stay open. 50 clients ask concurrently. Others send 100 MB or garbage.
    2. Each of the 50 gets its whole answer. The process stays below 100 MiB. Then the session still works.
    """
    server, source, whole = broken
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    incomplete = []
    for number in range(200):
        connection = server.connect()
        connection.sendall(b"GET /ok/ HTTP/1.1\r\nHost: " if number % 2 else b"")
        incomplete.append(connection)
    answers = []

    def ask():
        answers.append(server.get("/ok/", headers=("Accept: text/html",)))

    def upload():
        with server.connect() as connection:
            connection.sendall(b"POST /ok/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
            for _ in range(100):
                connection.sendall(b"x" * 1_000_000)
            answers.append(parse(receive(connection)))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    threads += [threading.Thread(target=upload) for _ in range(2)]
    for thread in threads:
        thread.start()
    for garbage in (
        b"\x00" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01" + bytes(range(256)),
        b"BREW coffee HTTP/9\r\n\r\n",
    ):
        with server.connect() as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            receive(connection)
    for thread in threads:
        thread.join(60)
    assert len(answers) == 52
    for answer in answers:
        length = next(
            int(line.split(":")[1]) for line in answer.headers.splitlines() if "Content-Length" in line
        )
        assert (answer.status, len(answer.body)) == (500, length)
    with open(f"/proc/{server.process.pid}/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 100 * 1024, f"{peak} KiB"
    for connection in incomplete:
        connection.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    save(source, whole)
    wait_for(lambda: server.get("/ok/").status == 200, "the repaired application")
    stop_with_ctrl_c(server)
