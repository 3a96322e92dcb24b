"""How a server ends: it sends the whole response, then it exits normally and soon."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time

import pytest
from harness import TIMEOUT, edit, read_response, read_to_end
from servers import BY_ID, ONE_PER_SERVER

ON = {"DEVPATCH_FAILFAST": "1"}
# Two seconds are promised. The other two are for a busy machine.
SOON = 2.0 + 2.0


def threaded(mode):
    return "threaded" in mode.marks


def assert_ends_soon(server, since, status=1):
    assert server.exit_status() == status, server.stderr
    took = time.monotonic() - since
    server.assert_nothing_left()
    assert took < SOON, f"{took:.2f} s\n{server.stderr}"


class TestOtherClients:
    @pytest.mark.long
    @pytest.mark.modes(choose=threaded, core=lambda mode: mode.id in ONE_PER_SERVER)
    def test_an_idle_keep_alive_connection_does_not_delay_the_exit(self, serve, mode):
        server = serve(mode, **ON)
        with server.send("/ok/") as idle:
            idle.recv(1000)
            server.get("/view/")
            assert_ends_soon(server, time.monotonic())

    @pytest.mark.modes(choose=threaded)
    def test_a_running_request_does_not_delay_the_exit(self, serve, mode):
        server = serve(mode, **ON)
        with server.send("/slow/"):
            time.sleep(0.3)
            server.get("/view/")
            assert_ends_soon(server, time.monotonic())

    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: threaded(mode) and mode.site == "django")
    def test_a_running_async_request_does_not_delay_the_exit(self, serve, mode, tmp_path):
        """Python joins the executor before atexit. So the watchdog runs the atexit handlers and exits."""
        mark = tmp_path / "mark"
        server = serve(mode, **ON, SITE_EXIT_MARK=str(mark), DEVPATCH_FAILFAST_EXIT_CODE="9")
        with server.send("/async-slow/"):
            time.sleep(0.3)
            server.get("/view/")
            assert_ends_soon(server, time.monotonic(), 9)
        assert mark.read_text() == "atexit ran"
        assert server.stderr.count("the server stops") == 1

    @pytest.mark.long
    @pytest.mark.modes(choose=threaded, core=lambda mode: mode.id in ONE_PER_SERVER)
    def test_a_client_that_keeps_the_failing_connection_open(self, serve, mode):
        server = serve(mode, **ON)
        with server.send("/view/") as connection:
            response = read_to_end(connection)
            assert_ends_soon(server, time.monotonic())
        assert response.status == 500

    @pytest.mark.long
    @pytest.mark.modes(choose=threaded, core=lambda mode: mode.id in ONE_PER_SERVER)
    def test_concurrent_errors_are_reported_once(self, serve, mode):
        server = serve(mode, **ON)
        clients = [threading.Thread(target=self.ask, args=(server, n)) for n in range(8)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        assert_ends_soon(server, time.monotonic())
        assert server.stderr.count("the server stops") == 1
        assert len(re.findall("devpatch: fail-fast: GET .*boom number", server.stderr)) == 1

    @staticmethod
    def ask(server, n):
        try:
            server.get(f"/sleeping-error/?n={n}&seconds=0.5")
        except OSError:
            pass  # The server may be gone.


@pytest.mark.long
class TestTheResponse:
    @pytest.mark.modes(choose=lambda mode: mode.site == "django")
    def test_a_large_page_arrives_whole_although_the_upload_was_not_read(self, serve, mode):
        """Closing a socket with unread bytes resets the connection. The client loses the end of the page."""
        body = b"u" * 300_000
        whole = self.ask_upload_large(serve(mode, DEVPATCH_FAILFAST="0"), body)
        server = serve(mode, **ON)
        page = self.ask_upload_large(server, body)
        assert_ends_soon(server, time.monotonic())
        assert len(page) > 300_000
        # Ports, addresses and similar values differ in length.
        assert abs(len(page) - len(whole)) < 2000

    @staticmethod
    def ask_upload_large(server, body):
        with server.send("/upload-large/", "POST", body, ["Connection: close"]) as connection:
            time.sleep(0.3)  # a busy client reads late
            # Stock Werkzeug waits for the rest of the request without limit. So a pause counts as the end.
            connection.settimeout(3)
            data = b""
            try:
                while chunk := connection.recv(65536):
                    data += chunk
            except TimeoutError:
                pass
            return data

    @pytest.mark.modes(choose=lambda mode: mode.server != "daphne")  # It reads the whole body first.
    def test_an_upload_that_continues_after_the_response(self, serve, mode):
        """
        1. Send a request with a part of its body, and read the response.
        2. Send more of the body. The server drains the connection, so there is no reset.
        """
        server = serve(mode, **ON)
        with server.send("/upload-unread/", "POST", b"part", ["Content-Length: 100000"]) as connection:
            data = b""
            while b"\r\n\r\n" not in data:
                chunk = connection.recv(65536)
                assert chunk, server.stderr
                data += chunk
            answered = time.monotonic()
            for _ in range(5):
                connection.sendall(b"x" * 1000)
                time.sleep(0.05)
            assert data.startswith(b"HTTP/1.") and b" 500 " in data[:20]
            while connection.recv(65536):
                pass
            assert_ends_soon(server, answered)

    @pytest.mark.modes(choose=lambda mode: mode.server in ("run_simple", "app.run", "flask run"))
    def test_a_stream_that_fails_although_the_client_has_more_to_send(self, serve, mode):
        """Werkzeug reads the whole request before it answers. Such a client would wait forever."""
        server = serve(mode, **ON)
        with server.send("/upload-stream/", "POST", b"part", ["Content-Length: 100000"]) as connection:
            started = time.monotonic()
            connection.settimeout(TIMEOUT)
            assert b"HTTP/1." in connection.recv(65536)
            assert_ends_soon(server, started + 1)


def normalized(page: bytes) -> list[bytes]:
    """Return the lines of a page without the parts that differ between processes."""
    text = re.sub(
        rb"(DEVPATCH_FAILFAST.*\s*<td[^>]*><pre>)[^<]*", rb"\1", page
    )  # the page shows the environment
    text = re.sub(rb"(REMOTE_PORT</td>\s*<td[^>]*><pre>)[^<]*", rb"\1", text)
    text = re.sub(rb"0x[0-9a-f]{6,}", b"0x", text)
    text = re.sub(rb"\d{12,}", b"<id>", text)  # addresses, in decimal
    text = re.sub(rb"SECRET = \"[^\"]*\"|name=\d+|fd=\d+|laddr=[^)]*\)|raddr=[^)]*\)", b"<x>", text)
    text = re.sub(
        rb"Date: [^\r]*|\w\w\w, \d\d \w\w\w \d{4} [\d:]* [+\d]*|\d\d/\w\w\w/\d{4} [\d:]*", b"<date>", text
    )
    text = re.sub(rb"[Cc]ontent-[Ll]ength: \d+", b"Content-Length: <n>", text)
    return [line.strip() for line in text.splitlines()]


@pytest.mark.slow
@pytest.mark.long
class TestByteForByte:
    KINDS = (
        "/view/",
        "/stream/",
        "/stream-first/",
        "/close/",
        "/connection-error/",
        "/exit-7/",
        "/template/",
        "/async/",
    )

    @pytest.mark.modes(
        choose=lambda mode: mode.mode != "handle_request", core=lambda mode: mode.id in ONE_PER_SERVER
    )
    def test_the_response_equals_the_stock_servers(self, serve, mode):
        """Request each failing page with fail-fast off and on. The responses are the same."""
        stock = serve(mode, DEVPATCH_FAILFAST="0")
        for path in self.KINDS:
            if (path == "/template/" and mode.site == "bare") or (
                path == "/async/" and mode.site != "django"
            ):
                continue
            # Stock daphne never ends these responses.
            if mode.server == "daphne" and path in ("/stream/", "/stream-first/", "/exit-7/"):
                continue
            expected = self.ask(stock, path)
            guarded = serve(mode, DEVPATCH_FAILFAST="1")
            assert normalized(self.ask(guarded, path)) == normalized(expected), path
            guarded.kill()
            if path == "/exit-7/":  # This page ends some stock servers too.
                stock.kill()
                stock = serve(mode, DEVPATCH_FAILFAST="0")

    @staticmethod
    def ask(server, path):
        with server.send(path, headers=["Connection: close"]) as connection:
            data = b""
            try:
                while chunk := connection.recv(65536):
                    data += chunk
            except ConnectionResetError:
                data += b"<reset>"
        return data.replace(str(server.port).encode(), b"<port>")


@pytest.mark.long
class TestNormalExit:
    @pytest.mark.modes(choose=lambda mode: mode.site == "bare")
    def test_atexit_handlers_run_and_log_handlers_are_flushed(self, serve, mode, tmp_path):
        mark, log = tmp_path / "mark", tmp_path / "log"
        server = serve(mode, **ON, SITE_EXIT_MARK=str(mark), SITE_LOG=str(log))
        assert log.read_text() == ""
        server.get("/view/")
        assert_ends_soon(server, time.monotonic())
        assert mark.read_text() == "atexit ran"
        assert "kept in memory\n" in log.read_text()

    def test_coverage_is_saved(self, serve, tmp_path):
        pytest.importorskip("coverage")
        mode = BY_ID["wsgiref-threads"]
        data = tmp_path / "coverage"
        covered = type(mode)(
            mode.server,
            mode.mode,
            mode.site,
            ("-m", "coverage", "run", f"--data-file={data}", *mode.arguments),
        )
        server = serve(covered, **ON)
        server.get("/view/")
        assert_ends_soon(server, time.monotonic())
        report = subprocess.run(
            [sys.executable, "-m", "coverage", "report", f"--data-file={data}"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "bare_site.py" in report.stdout


@pytest.mark.long
class TestReload:
    @pytest.mark.modes(choose=lambda mode: "reload" in mode.marks)
    def test_one_line_at_the_start_and_none_at_a_reload(self, serve_copy, mode):
        """
        1. Start a reloading server in a copy of its project. It prints that fail-fast is on.
        2. Edit a file. The worker starts again and prints no such line.
        3. An error in the new worker stops both processes.
        """
        server, source = serve_copy(mode, **ON)
        edit(server, source, "boom in a view", "boom after the edit")
        server.wait_until_ready()
        assert server.stderr.count("devpatch: fail-fast (exit 1)") == 1, server.stderr
        server.get("/view/")
        assert_ends_soon(server, time.monotonic())
        assert "boom after the edit" in server.stderr


def test_keep_alive_works_until_an_error(serve):
    """One connection carries two successful requests, then a failing one."""
    if "runserver-noreload" not in BY_ID:
        pytest.skip("Django is not installed")
    server = serve(BY_ID["runserver-noreload"], **ON)
    with server.connect() as connection:
        for _ in range(2):
            server.send("/ok/", connection=connection)
            assert read_response(connection).body == b"ok"
        server.send("/view/", connection=connection)
        assert read_response(connection).status == 500
        answered = time.monotonic()
        assert connection.recv(100) == b""
    assert_ends_soon(server, answered)
