"""Clients of DEVPATCH_THREADED receive the same bytes as from the stock server, and in time."""

from __future__ import annotations

import re

import pytest
from harness import FULL_LENGTH, HALF_BODY, read_response, receive, receive_until, wait_for
from test_threaded import concurrent_modes, draining_modes, one_mode_per_server, runserver_modes

REQUESTS = {
    "get": b"GET /ok/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "http-1.0": b"GET /ok/ HTTP/1.0\r\n\r\n",
    "head": b"HEAD /ok/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "large": b"GET /large/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "304": b"GET /status-304/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "upload": b"POST /upload/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "malformed": b"nonsense\r\n\r\n",
    "error": b"GET /nowhere/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
}
_DATE = re.compile(rb"(?i)\r\nDate: [^\r]+")


def ask(server, request):
    with server.connect() as connection:
        connection.sendall(request)
        data = receive(connection)
    return _DATE.sub(b"", data).replace(str(server.port).encode(), b"PORT")


def log(server):
    """Return the log of the last requests without dates. The number of polls at the start varies."""
    lines = [line for line in server.stderr.splitlines() if "HTTP/1." in line]
    last = max((n for n, line in enumerate(lines) if '"GET /nowhere/' in line), default=0)
    return [re.sub(r"\[[^]]*\d{4}[^]]*\]", "[date]", line) for line in lines[max(0, last - 3) :]]


class TestBytes:
    @concurrent_modes
    def test_bytes_and_log_equal_the_stock_servers(self, serve, mode):
        stock = serve(mode)
        server = serve(mode, DEVPATCH_THREADED="1" if "threaded" in mode.marks else "0")
        for name, request in REQUESTS.items():
            assert ask(server, request) == ask(stock, request), name
        for name in ("get", "head", "upload", "error", "get"):
            assert ask(server, REQUESTS[name])
            assert ask(stock, REQUESTS[name])
        wait_for(lambda: len(log(server)) >= len(log(stock)) >= 5, "the log")
        assert log(server) == log(stock)

    @pytest.mark.long
    @one_mode_per_server
    def test_each_part_of_a_stream_is_sent_immediately(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1")
        with server.send("/parts/", headers=["Connection: close"]) as connection:
            data = b""
            while b"second " not in data:
                data += connection.recv(65536)
            server.get("/gauge/?expected=2&seconds=20")
            assert b"third" in receive(connection)

    @pytest.mark.long
    @one_mode_per_server
    def test_continue_is_sent_before_the_server_waits_for_the_body(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1")
        with server.connect() as connection:
            connection.sendall(
                b"POST /upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
                b"Connection: close\r\n\r\n"
            )
            if mode.server != "wsgiref":  # HTTP/1.0
                assert connection.recv(12) == b"HTTP/1.1 100"
                assert connection.recv(65536).endswith(b"\r\n\r\n")
            connection.sendall(b"hello")
            assert b" 200 OK" in receive(connection)

    @pytest.mark.long
    @runserver_modes
    def test_continue_is_sent_on_a_keep_alive_connection_too(self, serve, mode):
        """The previous response must be complete, also for the buffer that joins the parts of a response."""
        server = serve(mode, DEVPATCH_THREADED="1")
        with server.send("/ok/") as connection:
            assert read_response(connection).status == 200
            headers = ["Content-Length: 5", "Expect: 100-continue"]
            server.send("/upload/", "POST", headers=headers, connection=connection)
            receive_until(connection, lambda data: data == b"HTTP/1.1 100 Continue\r\n\r\n")
            connection.sendall(b"hello")
            assert read_response(connection).body == b"5"

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @draining_modes
    def test_the_whole_response_is_sent_before_the_server_drains_the_request(self, serve, mode, method):
        server = serve(mode, DEVPATCH_THREADED="1")
        ends = (b"\r\n\r\n",) if method == "HEAD" else (b"\r\n\r\nok", b"\r\nok\r\n0\r\n\r\n")
        with server.send("/ok/", method, body=HALF_BODY, headers=[FULL_LENGTH]) as connection:
            receive_until(connection, lambda data: any(end in data for end in ends))

    @pytest.mark.long
    @one_mode_per_server
    def test_fail_fast_answers_a_head_request_first(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1", DEVPATCH_FAILFAST="1")
        assert server.get("/view/", method="HEAD").status == 500
        assert server.exit_status() == 1

    @pytest.mark.long
    @one_mode_per_server
    def test_a_part_is_sent_before_the_application_reads_more(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1")
        headers = ["Content-Length: 6", "Connection: close"]
        with server.send("/talk/", "POST", headers=headers) as connection:
            receive_until(connection, lambda data: b"first" in data)
            connection.sendall(b"second")
            assert b"second" in receive(connection)
