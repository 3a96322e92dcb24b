"""A fail-safe session and its clients: each connection gets a whole answer, also during a reload."""

from __future__ import annotations

import threading
import time

import pytest
from breakages import SYNTAX_ERROR, repaired, save
from harness import read_to_end, wait_for
from servers import EACH_RELOADER, RELOADING_MODES
from test_failsafe import ON, stop_with_ctrl_c, wait_for_version, wait_until_broken

SLOW_CLOSE = """
import time
from werkzeug.serving import BaseWSGIServer
def shutdown_request(server, request, close=BaseWSGIServer.shutdown_request):
    close(server, request)
    time.sleep(1)
BaseWSGIServer.shutdown_request = shutdown_request
"""


@pytest.mark.long
@RELOADING_MODES
class TestConnections:
    RELOADS = 20
    # Clients. A machine under load serves fewer than arrive, so their number would only grow.
    MAX_WAITING = 100

    @pytest.mark.slow
    def test_no_connection_is_refused_during_reloads(self, serve_copy, mode):
        """
        1. A new client connects every 20 ms while the server reloads 20 times, with working and broken code,
           unless ``MAX_WAITING`` clients wait already.
        2. Each client gets a whole answer within 30 s.
        """
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        answers, stop = [], threading.Event()
        free = threading.Semaphore(self.MAX_WAITING)

        def ask():
            try:
                response = server.get("/version/")
                complete = response.status in (200, 500) and response.seconds < 30
                answers.append("ok" if complete else repr(response))
            except OSError as error:
                answers.append(repr(error))
            finally:
                free.release()

        def poll():
            while not stop.wait(0.02):
                if free.acquire(blocking=False):
                    threading.Thread(target=ask).start()

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            for reload in range(1, self.RELOADS + 1):
                if reload % 4 == 0:
                    save(source, whole + SYNTAX_ERROR)
                    wait_until_broken(server, "SyntaxError")
                save(source, repaired(whole, reload))
                wait_for_version(server, reload)
        finally:
            stop.set()
            poller.join()
        wait_for(lambda: not any("ask" in t.name for t in threading.enumerate()), "the last answers")
        failed = [answer for answer in answers if answer != "ok"]
        assert not failed, f"{len(failed)} of {len(answers)}: {failed[:5]}"
        assert len(answers) > 200
        stop_with_ctrl_c(server)

    @EACH_RELOADER
    def test_a_running_request_is_finished(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        incomplete = []

        def ask():
            response = server.get("/slow/?seconds=1.5")
            if b"slow" not in response.body:
                incomplete.append(response)

        save(source, repaired(whole, 1))
        clients = [threading.Thread(target=ask) for _ in range(3)]
        for client in clients:
            client.start()
        wait_for_version(server, 1)
        for client in clients:
            client.join()
        assert not incomplete, f"{incomplete}\n{server.stderr}"
        stop_with_ctrl_c(server)

    @pytest.mark.modes(choose=lambda mode: mode.id == "flask-run-debug")
    def test_a_running_request_on_a_reused_descriptor_is_finished(self, serve_copy, mode):
        """
        1. The server takes a second to finish with a closed connection. Meanwhile it accepts the next
           connection, which gets the same descriptor.
        2. A reload starts after that second. The answer on the next connection still arrives whole.
        """
        server, source = serve_copy(mode, wait=False, **ON)
        server.kill()
        source.write_text(SLOW_CLOSE + source.read_text())
        server.start()
        server.wait_until_ready()
        assert server.get("/ok/").status == 200
        with server.send("/slow/?seconds=3", headers=["Connection: close"]) as connection:
            time.sleep(1.3)
            save(source, repaired(source.read_text(), 1))
            assert b"slow" in read_to_end(connection).body, server.stderr
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)
