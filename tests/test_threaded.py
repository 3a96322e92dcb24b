"""DEVPATCH_THREADED, for every server in every mode."""

from __future__ import annotations

import os
import re
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from harness import FULL_LENGTH, HALF_BODY, edit, read_response, receive, receive_until, wait_for
from servers import BY_ID, ONE_PER_SERVER

concurrent_modes = pytest.mark.modes(choose=lambda mode: mode.takes_threads)
# The thread pool handles clients in the same way in each mode of a server.
one_mode_per_server = pytest.mark.modes(
    choose=lambda mode: mode.takes_threads, core=lambda mode: mode.id in ONE_PER_SERVER
)
draining_modes = pytest.mark.modes(
    choose=lambda mode: mode.drains_connections and mode.takes_threads,
    core=lambda mode: mode.id in ONE_PER_SERVER,
)
runserver_modes = pytest.mark.modes(choose=lambda mode: mode.server == "runserver")


def measure(server, clients, expected, seconds):
    """Send ``clients`` concurrent requests. Each waits until ``expected`` of them run, at most ``seconds``.

    Return the maximum of concurrent requests, the threads, and whether they were the main thread.
    """
    path = f"/gauge/?expected={expected}&seconds={seconds}"
    with ThreadPoolExecutor(clients) as executor:
        answers = list(executor.map(lambda _: server.get(path), range(clients)))
    assert [answer.status for answer in answers] == [200] * clients
    seen = [re.sub(rb"\r\n.*|^[0-9a-f]+\r\n", b"", answer.body).split() for answer in answers]
    return (
        max(int(most) for most, _, _ in seen),
        {thread for _, thread, _ in seen},
        {main for _, _, main in seen},
    )


def assert_override_is_announced(server, mode, overridden):
    own = "concurrently" if "threaded" in mode.marks else "one at a time"
    # It is not known in advance what a program's own wsgiref server would do.
    is_announced = mode.server != "wsgiref" and own == overridden
    assert server.stderr.count("overrides") == is_announced
    assert server.stderr.count(f"(overrides the command: {own})") == is_announced


class TestValues:
    @concurrent_modes
    def test_unbounded(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1")
        most, threads, main = measure(server, 8, expected=8, seconds=20)
        assert (most, len(threads), main) == (8, 8, {b"False"})
        assert server.stderr.count("devpatch: threads") == 1
        assert_override_is_announced(server, mode, "one at a time")

    @concurrent_modes
    def test_bounded(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        most, threads, main = measure(server, 8, expected=2, seconds=0.2)
        assert (most, main) == (2, {b"False"})
        assert len(threads) == 2

    @pytest.mark.modes(choose=lambda mode: mode.takes_threads or mode.always_one_at_a_time)
    def test_one_at_a_time(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="0")
        most, threads, _main = measure(server, 6, expected=2, seconds=0.1)
        assert (most, len(threads)) == (1, 1)
        if not mode.always_one_at_a_time:
            assert_override_is_announced(server, mode, "concurrently")

    def test_an_idle_thread_is_reused(self, serve):
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_THREADED="1")
        threads = set()
        for _ in range(5):
            threads |= measure(server, 1, expected=1, seconds=0.01)[1]
            time.sleep(0.3)  # The thread becomes idle soon after the client has the response.
        assert len(threads) < 5  # On a busy machine, a thread may become idle too late for the next request.

    @pytest.mark.parametrize("value", ["-1", "1.5", "many", "99999999", "1025", "²"])
    def test_a_bad_value(self, serve, value):
        server = serve(BY_ID["wsgiref-serve_forever"], wait=False, DEVPATCH_THREADED=value)
        assert server.exit_status() == 2
        assert server.stderr.count("\n") == 1
        assert "DEVPATCH_THREADED" in server.stderr and "2 to 1024 for at most that many" in server.stderr

    def test_testserver_stays_at_one_at_a_time_and_announces_that(self, serve):
        if "testserver-" not in BY_ID:
            pytest.skip("Django is not installed")
        server = serve(BY_ID["testserver-"], DEVPATCH_THREADED="1")
        assert measure(server, 6, expected=2, seconds=0.1)[0] == 1
        assert server.stderr.count("threaded has no effect on testserver: its database takes one") == 1

    def test_handle_request_stays_at_one_at_a_time_and_announces_that(self, serve):
        server = serve(BY_ID["wsgiref-handle_request"], DEVPATCH_THREADED="1")
        assert measure(server, 6, expected=2, seconds=0.1)[0] == 1
        assert server.stderr.count("threaded has no effect on wsgiref: handle_request() returns") == 1

    def test_a_running_request_is_finished_when_the_program_stops_its_server(self, serve):
        mode = BY_ID["wsgiref-serve_forever"]
        ending = replace(mode, arguments=(*mode.arguments, "ending"))
        server = serve(ending, DEVPATCH_THREADED="1")
        assert server.get("/shutdown/").body == b"ok"
        assert server.exit_status() == 0
        assert "the program went on" in server.stdout


class TestOwnHandlers:
    """Programs whose request handlers use the connection in their own way."""

    @pytest.mark.parametrize("way", ["wraps-connection", "writes-itself"])
    def test_it_still_works(self, serve, way):
        mode = BY_ID["wsgiref-serve_forever"]
        own = replace(mode, arguments=(*mode.arguments, way))
        server = serve(own, DEVPATCH_THREADED="1")
        assert server.get("/ok/").body == b"ok"
        assert "Traceback" not in server.stderr

    def test_a_timeout(self, serve):
        mode = BY_ID["wsgiref-serve_forever"]
        own = replace(mode, arguments=(*mode.arguments, "time-limit"))
        server = serve(own, DEVPATCH_THREADED="1")
        with server.connect() as connection:
            assert receive(connection) == b""


class TestIdleConnections:
    @runserver_modes
    def test_idle_clients_occupy_no_worker(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        kept = [server.send("/ok/") for _ in range(6)]
        for connection in kept:
            assert read_response(connection).status == 200
        assert server.get("/ok/").status == 200
        for connection in kept:
            assert read_response(server.send("/ok/", connection=connection)).status == 200
            connection.close()

    @runserver_modes
    def test_pipelined_requests_are_answered_in_order(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        paths = ["/ok/", "/404/", "/large/", "/ok/", "/status-500/"]
        answers = lambda data: re.findall(rb"HTTP/1.1 (\d+)", data)  # noqa: E731
        with server.connect() as connection:
            # One write, and then the client is silent: only the server's buffer has the later requests.
            connection.sendall(b"".join(f"GET {p} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for p in paths))
            text = receive_until(connection, lambda data: len(answers(data)) == len(paths))
        assert answers(text) == [b"200", b"404", b"200", b"200", b"500"]

    @pytest.mark.long
    @runserver_modes
    def test_a_pipeline_does_not_starve_other_clients(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        pipelines = [server.connect() for _ in range(2)]
        for connection in pipelines:
            connection.sendall(b"GET /slow/?seconds=0.2 HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        started = time.monotonic()
        assert server.get("/ok/").status == 200
        assert time.monotonic() - started < 10  # the pipelines take 20 s
        # A pipeline that gave up its thread continues with the requests in the buffer.
        for connection in pipelines:
            receive_until(connection, lambda data: data.count(b"HTTP/1.1 200") >= 5)
            connection.close()

    @pytest.mark.long
    @runserver_modes
    def test_an_idle_connection_may_be_closed_by_the_client(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        for _ in range(3):
            kept = [server.send("/ok/") for _ in range(20)]
            for connection in kept:
                assert read_response(connection).status == 200
            for number, connection in enumerate(kept):
                if number % 2:  # Close it with a reset.
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.close()
        assert server.get("/ok/").status == 200
        assert "Traceback" not in server.stderr

    @pytest.mark.long
    @one_mode_per_server
    def test_silent_clients_occupy_no_worker(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        silent = [server.connect() for _ in range(6)]
        assert server.get("/ok/").status == 200
        for connection in silent:
            connection.close()


@pytest.mark.long
class TestSlowClients:
    @one_mode_per_server
    def test_incomplete_requests(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1")
        clients = [server.connect() for _ in range(100)]
        for client in clients:
            client.sendall(b"POST /upload/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
        assert server.get("/ok/").status == 200
        for client in clients:
            client.close()
        assert server.get("/ok/").status == 200

    @draining_modes
    def test_unread_uploads_occupy_no_worker(self, serve, mode):
        """The server drains the part of a request's body that the application does not read."""
        server = serve(mode, DEVPATCH_THREADED="2")
        stuck = [server.send("/ok/", body=HALF_BODY, headers=[FULL_LENGTH]) for _ in range(4)]
        # Each connection gets its response and stays open, so the server waits for the rest of the body.
        for connection in stuck:
            receive_until(connection, lambda data: b"\r\nok" in data)
        assert server.get("/ok/").status == 200
        for connection in stuck:
            connection.close()
        assert measure(server, 6, expected=2, seconds=0.1)[0] <= 2


class TestEnding:
    @pytest.mark.parametrize("value", ["1", *(pytest.param(v, marks=pytest.mark.variation) for v in "20")])
    @concurrent_modes
    def test_failfast(self, serve, mode, value):
        server = serve(mode, DEVPATCH_THREADED=value, DEVPATCH_FAILFAST="1")
        stuck = [server.send("/slow/") for _ in range(1 if value != "0" else 0)]
        assert server.get("/view/").status == 500
        assert server.exit_status() == 1
        server.assert_nothing_left()
        assert server.stderr.count("devpatch: fail-fast: GET") == 1
        for connection in stuck:
            connection.close()

    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: "reload" in mode.marks and mode.takes_threads)
    def test_a_reload(self, serve_copy, mode):
        server, source = serve_copy(mode, DEVPATCH_THREADED="2")
        stuck = [server.send("/slow/") for _ in range(3)]
        started = time.monotonic()
        edit(server, source, "boom in a view", "boom after the edit")
        assert time.monotonic() - started < 20
        assert server.stderr.count("devpatch: at most 2 threads") == 1
        for connection in stuck:
            connection.close()

    @concurrent_modes
    def test_ctrl_c(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="2")
        stuck = [server.send("/slow/") for _ in range(3)]
        time.sleep(0.3)
        started = time.monotonic()
        server.interrupt()
        server.exit_status()
        server.assert_nothing_left()
        assert time.monotonic() - started < 20  # /slow/ takes 30 s
        for connection in stuck:
            connection.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system has no /proc")
class TestResources:
    @pytest.mark.long
    def test_an_idle_thread_closes_its_database_connection_and_ends(self, serve, tmp_path):
        if "runserver-noreload" not in BY_ID:
            pytest.skip("Django is not installed")
        database = tmp_path / "database"
        server = serve(BY_ID["runserver-noreload"], DEVPATCH_THREADED="1", SITE_DATABASE=str(database))
        process = Path("/proc") / str(server.process.pid)
        with ThreadPoolExecutor(5) as executor:
            path = "/query/?expected=5&seconds=20"
            assert all(answer.status == 200 for answer in executor.map(server.get, [path] * 5))
        assert connections_to(database, process) == 5  # CONN_MAX_AGE keeps them open.
        wait_for(lambda: connections_to(database, process) == 0, "no open database connection")
        wait_for(lambda: len(list((process / "task").iterdir())) <= 3, "the end of the threads")
        assert server.get("/ok/").status == 200
        assert "Traceback" not in server.stderr and "ResourceWarning" not in server.stderr

    @pytest.mark.slow
    @pytest.mark.long
    @pytest.mark.modes(
        choose=lambda mode: mode.id in ("wsgiref-serve_forever", "runserver-noreload", "flask-run-"),
        core=lambda mode: mode.id != "flask-run-",
    )
    def test_500_incomplete_requests_leak_nothing(self, serve, mode):
        server = serve(mode, DEVPATCH_THREADED="1")
        process = Path("/proc") / str(server.process.pid)
        before = resident(process)
        clients = [server.connect() for _ in range(500)]
        for client in clients:
            client.sendall(b"GET /ok/ HTTP/1.1\r\nHost: x\r\nX-Half")
        assert server.get("/ok/").status == 200
        for client in clients:
            client.close()
        wait_for(lambda: len(list((process / "task").iterdir())) <= 4, "the end of the threads")
        wait_for(lambda: resident(process) < before + 20, "the release of the memory")
        assert len(list((process / "fd").iterdir())) < 30
        assert server.get("/ok/").status == 200


def connections_to(database, process):
    links = []
    for descriptor in (process / "fd").iterdir():
        try:
            links.append(os.readlink(descriptor))
        except OSError:
            pass  # It was closed in the meantime.
    return links.count(str(database))


def resident(process):
    """Return the resident memory of a process in MiB."""
    return int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
