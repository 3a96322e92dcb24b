"""Daphne's runserver: what differs from Django's, which are WebSockets, tasks and the event loop.

The contract of fail-fast, and the tests of reloads and reports, run for it as for each other server.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
import time

import pytest
from breakages import repaired, save
from harness import receive, wait_for
from projects import django_files
from reporting import Reports
from servers import BY_ID
from test_failsafe import stop_with_ctrl_c, wait_for_version, wait_until_broken
from test_messages import messages_of
from websocket import WebSocket

pytest.importorskip("django")
pytest.importorskip("daphne")
ON = {"DEVPATCH_FAILFAST": "1"}
SAFE = {"DEVPATCH_FAILSAFE": "1"}
RELOAD, NORELOAD = BY_ID["daphne-reload"], BY_ID["daphne-noreload"]
each_mode = pytest.mark.modes(choose=lambda mode: mode.server == "daphne")


def assert_stopped(server, what, status=1):
    assert server.exit_status() == status, server.stderr
    server.assert_nothing_left()
    report = messages_of(server)[-2:]
    assert report[0] == f"devpatch: fail-fast: GET {what}", server.stderr
    assert report[1].endswith(f"exit status {status}")


def assert_no_own_frame(server):
    assert "devpatch/" not in server.stderr.replace(str(server.directory), "")


class TestWebSockets:
    @each_mode
    def test_an_error_in_a_consumer(self, serve, mode):
        """The client gets the close code of the stock server before the process ends."""
        server = serve(mode, **ON)
        with WebSocket(server, "/echo/") as client:
            client.send("hello")
            assert client.receive() == "hello"
            client.send("boom")
            assert client.receive() == 1011
            assert_stopped(server, f"ws://127.0.0.1:{server.port}/echo/: ValueError: boom in a consumer")
        assert server.stderr.count("ValueError: boom in a consumer\n") == 2  # one traceback, one report
        assert_no_own_frame(server)

    @pytest.mark.long
    def test_an_error_in_the_handshake(self, serve):
        server = serve(NORELOAD, **ON)
        with WebSocket(server, "/handshake/?a=1") as client:
            assert client.status == 500
        assert_stopped(
            server, f"ws://127.0.0.1:{server.port}/handshake/?a=1: ValueError: boom in a handshake"
        )

    @pytest.mark.long
    @pytest.mark.parametrize("is_clean", [True, False])
    def test_an_error_at_the_end_of_a_consumer(self, serve, is_clean):
        server = serve(NORELOAD, **ON)
        with WebSocket(server, "/end/") as client:
            assert client.status == 101
            if is_clean:
                client.close()
        assert_stopped(
            server, f"ws://127.0.0.1:{server.port}/end/: ValueError: boom at the end of a consumer"
        )

    @pytest.mark.long
    def test_sys_exit_in_a_consumer(self, serve):
        server = serve(NORELOAD, **ON)
        with WebSocket(server, "/exit/") as client:
            assert client.status == 500
        assert_stopped(server, f"ws://127.0.0.1:{server.port}/exit/: sys.exit(7)", 7)

    def test_what_is_no_error(self, serve):
        """A client that hangs up, a clean close and a rejected handshake do not stop the server. An error does."""
        server = serve(NORELOAD, **ON)
        with WebSocket(server, "/echo/") as client:
            client.send("hello")
        with WebSocket(server, "/echo/") as client:
            client.close()
            assert client.receive() == 1000
        with WebSocket(server, "/reject/") as client:
            assert client.status == 403
        with WebSocket(server, "/echo/") as client:
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        time.sleep(2)  # The server looks for failed tasks once a second.
        assert server.get("/ok/").status == 200
        assert len(messages_of(server)) == 1
        server.get("/view/")
        assert server.exit_status() == 1

    @pytest.mark.long
    def test_other_connections_do_not_delay_the_end(self, serve):
        server = serve(NORELOAD, **ON)
        with WebSocket(server, "/echo/"), server.send("/slow/"), server.send("/async-slow/"):
            time.sleep(0.5)
            server.get("/view/")
            answered = time.monotonic()
            assert server.exit_status() == 1
            assert time.monotonic() - answered < 5, "2 s are allowed"

    @pytest.mark.long
    def test_errors_are_reported(self, serve, tmp_path):
        reports = Reports(tmp_path)
        server = serve(NORELOAD, **reports.variables)
        with WebSocket(server, "/echo/?secret=1") as client:
            client.send("boom")
            assert client.receive() == 1011
        lines, events = reports.wait(1, 2)
        assert (lines[0]["method"], lines[0]["status"], lines[0]["server"]) == ("GET", None, "daphne")
        assert lines[0]["url"] == f"ws://127.0.0.1:{server.port}/echo/?secret=***"
        assert events[0]["path"] == "/echo/"
        assert server.get("/ok/").status == 200


CONSUMERS = """
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

class Sync(WebsocketConsumer):
    def receive(self, text_data):
        raise ValueError("boom in a sync consumer")

class Async(AsyncWebsocketConsumer):
    async def receive(self, text_data):
        raise ValueError("boom in an async consumer")

sockets = URLRouter([path("sync/", Sync.as_asgi()), path("async/", Async.as_asgi())])
application = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": sockets})
"""
RUNSERVER = ("manage.py", "runserver", "127.0.0.1:{port}", "--noreload")


def daphne_files(asgi, apps="'daphne', 'shop'", **more):
    files = django_files(**more, asgi=asgi)
    files["settings.py"] = files["settings.py"].replace('["shop"]', f"[{apps}]")
    files["settings.py"] += 'ASGI_APPLICATION = "asgi.application"\n'
    return files


@pytest.mark.long
class TestApplications:
    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_consumers_of_channels(self, serve_project, kind):
        pytest.importorskip("channels")
        server = serve_project(daphne_files(CONSUMERS), *RUNSERVER, **ON)
        with WebSocket(server, f"/{kind}/") as client:
            client.send("hello")
            assert client.receive() == 1011
        article = {"sync": "a sync", "async": "an async"}[kind]
        assert_stopped(
            server, f"ws://127.0.0.1:{server.port}/{kind}/: ValueError: boom in {article} consumer"
        )

    def test_one_of_another_interface(self, serve_project):
        """Daphne calls it and fails. That is an error of the request."""
        asgi = "from django.core.asgi import get_asgi_application\ndjango = get_asgi_application()\n"
        asgi += "def application(scope, receive, send):\n"
        asgi += "    if scope['path'] == '/odd/': raise TypeError('not this way')\n"
        asgi += "    return django(scope, receive, send)\n"
        server = serve_project(daphne_files(asgi), *RUNSERVER, **ON)
        response = server.get("/odd/")
        assert response.status == 500 and b"Daphne HTTP processing error" in response.body
        assert_stopped(server, f"http://127.0.0.1:{server.port}/odd/: TypeError: not this way")
        if sys.version_info >= (3, 11):  # Before, a traceback can't be changed while it is handled.
            assert_no_own_frame(server)

    def test_an_error_after_the_response(self, serve):
        server = serve(NORELOAD, **ON)
        response = server.get("/late/")
        assert (response.status, response.body) == (200, b"ok")
        assert_stopped(server, f"http://127.0.0.1:{server.port}/late/: ValueError: boom after the response")

    def test_one_that_copies_the_scope(self, serve):
        """A middleware may change the headers, and hand on a copy of the scope."""
        server = serve(NORELOAD, **ON)
        assert server.get("/copied/view/").status == 500
        url = f"http://127.0.0.1:{server.port}/copied/view/"
        assert_stopped(server, f"{url}: ValueError: boom in a view (28)")

    def test_strict(self, serve):
        """
        1. With 1, an error that process_exception turned into a response does not stop the server. A line says so.
        2. With strict it does.
        """
        server = serve(NORELOAD, **ON)
        assert server.get("/rescued/").status == 500
        assert server.get("/ok/").status == 200
        assert "a handler answered Rescued; the server goes on" in server.stderr
        server = serve(NORELOAD, DEVPATCH_FAILFAST="strict")
        assert server.get("/status-500/").body == b"on purpose"
        assert server.get("/rescued/").body == b"rescued"
        assert server.exit_status() == 1
        assert "/rescued/: site_under_test.middleware.Rescued: rescue me" in server.stderr

    def test_a_large_response_arrives_whole(self, serve):
        """The client reads late, so the server's buffers are full when the application has failed."""
        server = serve(NORELOAD, **ON)
        with server.send("/late/?large", headers=["Connection: close"]) as connection:
            time.sleep(2)
            data = receive(connection)
        assert data.endswith(b"x\r\n0\r\n\r\n")  # the last chunk
        assert data.count(b"x") == 20_000_000
        assert server.exit_status() == 1

    def test_an_error_of_a_stream_is_logged(self, serve, tmp_path):
        """Daphne itself never ends such a response. The error is in the log although the client waits."""
        log = tmp_path / "errors.jsonl"
        server = serve(NORELOAD, DEVPATCH_ERROR_LOG=str(log))
        with server.send("/stream/"):
            line = json.loads(wait_for(lambda: log.exists() and log.read_text(), "a line in the log"))
        assert line["exception"]["message"] == "boom in a stream"
        assert line["status"] == 200


class TestReload:
    def test_websockets_close_with_the_code_for_a_restart(self, serve_copy):
        """
        1. A WebSocket is open when a file changes. It is closed with 1012, and the consumer can clean up.
        2. The client connects again at once. It is not refused, and the next worker answers.
        """
        server, source = serve_copy(RELOAD, **SAFE, SITE_GOODBYE="1")
        with WebSocket(server, "/echo/") as client:
            client.send("hello")
            assert client.receive() == "hello"
            save(source, repaired(source.read_text(), 1))
            assert client.receive() == 1012
        with WebSocket(server, "/echo/") as client:
            client.send("again")
            assert client.receive() == "again"
        wait_for_version(server, 1)
        assert server.stdout.count("goodbye after 1012") == 1
        stop_with_ctrl_c(server)

    @pytest.mark.long
    def test_a_client_that_does_not_answer_the_close_does_not_hold_the_reload(self, serve_copy):
        server, source = serve_copy(RELOAD, **SAFE)
        with WebSocket(server, "/echo/"):
            save(source, repaired(source.read_text(), 1))
            wait_for_version(server, 1)
        assert "did not end for the reload" not in server.stderr
        stop_with_ctrl_c(server)

    @pytest.mark.long
    def test_running_requests_are_finished(self, serve_copy):
        server, source = serve_copy(RELOAD, **SAFE)
        bodies = []
        paths = ["/slow/?seconds=1.5", "/async-slow/?seconds=1.5", "/slow/?seconds=1.5"]
        clients = [threading.Thread(target=lambda p=p: bodies.append(server.get(p).body)) for p in paths]
        save(source, repaired(source.read_text(), 1))
        for client in clients:
            client.start()
        wait_for_version(server, 1)
        for client in clients:
            client.join()
        assert bodies == [b"slow"] * 3, server.stderr
        stop_with_ctrl_c(server)

    def test_broken_code_with_both_switches(self, serve_copy):
        """
        1. Broken code is held, and the address shows the error. The repaired code is served.
        2. An error in it ends both processes with the exit status.
        """
        server, source = serve_copy(RELOAD, **ON, **SAFE, DEVPATCH_FAILFAST_EXIT_CODE="42")
        whole = source.read_text()
        save(source, whole + "\ndef (\n")
        wait_until_broken(server, "SyntaxError")
        assert "SyntaxError in site_under_test/views.py" in server.stderr
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        with WebSocket(server, "/echo/") as client:
            client.send("boom")
            assert client.receive() == 1011
        assert server.exit_status() == 42, server.stderr
        server.assert_nothing_left()

    @pytest.mark.long
    def test_another_address_family(self, serve_project):
        """The socket that the worker adopts may be one for IPv6."""
        arguments = ("manage.py", "runserver", "[::1]:{port}")
        asgi = "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n"
        server = serve_project(daphne_files(asgi), *arguments, wait=False, **SAFE)

        def answer():
            try:
                with socket.create_connection(("::1", server.port), 10) as connection:
                    connection.sendall(b"GET /version/ HTTP/1.0\r\n\r\n")
                    return receive(connection)
            except OSError:
                return b""

        wait_for(lambda: answer().endswith(b"0"), lambda: f"an answer; {server.stderr}")
        views = server.directory / "views.py"
        save(views, views.read_text().replace('_Response("0")', '_Response("version 1")'))
        wait_for(lambda: answer().endswith(b"version 1"), lambda: f"the next worker; {server.stderr}")
        stop_with_ctrl_c(server)

    @pytest.mark.long
    @pytest.mark.parametrize("variables", [{}, SAFE, ON])
    def test_a_port_in_use(self, serve, variables):
        """Stock daphne says so and its reloader goes on. So it is with the switches."""
        server = serve(RELOAD, wait=False, **variables)
        server.kill()
        with socket.socket() as other:
            other.bind(("127.0.0.1", server.port))
            other.listen()
            server.start()
            wait_for(lambda: "Listen failure: Couldn't listen on" in server.stderr, lambda: server.stderr)
            time.sleep(0.5)
            assert server.process.poll() is None
            server.interrupt()
            assert server.exit_status() == 0
            server.assert_nothing_left()


@each_mode
@pytest.mark.long
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_it_as_without_a_switch(serve, mode, name):
    statuses = []
    for variables in ({}, {**ON, **SAFE}):
        server = serve(mode, **variables)
        with WebSocket(server, "/echo/"):
            time.sleep(2.5)  # Python 3.11 may crash if stock daphne ends within a second of a handshake.
            server.process.send_signal(name)
            statuses.append(server.exit_status())
    assert statuses[0] == statuses[1]


class TestLines:
    def test_each_is_printed_once(self, serve_copy, tmp_path):
        """
        1. Some switches have an effect, and others none. One line for each of those, one for all others.
        2. A reload repeats none.
        """
        variables = {**ON, **SAFE, "DEVPATCH_ERROR_LOG": str(tmp_path / "errors")}
        without = {"DEVPATCH_THREADED": "2", "DEVPATCH_EXC_INFO": "1", "DEVPATCH_SUMMARY": "1"}
        server, source = serve_copy(RELOAD, **variables, **without)
        save(source, repaired(source.read_text(), 1))
        wait_for_version(server, 1)
        lines = [line for line in messages_of(server) if "views.py changed" not in line]
        assert sorted(lines) == [
            f"devpatch: error log to {tmp_path / 'errors'}, fail-fast (exit 1), fail-safe",
            "devpatch: exc-info has no effect on daphne: ASGI has no start_response",
            "devpatch: summary has no effect on daphne: its tasks share a thread, so their costs are not told apart",
            "devpatch: threaded has no effect on daphne: an event loop serves all requests",
        ]

    @pytest.mark.long
    def test_switches_that_are_off_are_not_mentioned(self, serve):
        assert messages_of(serve(RELOAD, DEVPATCH_EXC_INFO="1")) == [
            "devpatch: exc-info has no effect on daphne: ASGI has no start_response"
        ]
        assert messages_of(serve(NORELOAD, **SAFE)) == [
            "devpatch: fail-safe has no effect on daphne: it runs without a reloader; leave out --noreload"
        ]
