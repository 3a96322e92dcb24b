"""Corner cases of fail-fast that the table of servers and kinds of error does not cover."""

from __future__ import annotations

import ssl
import time

import pytest
from harness import read_response, read_to_end
from servers import BY_ID, Mode

pytestmark = pytest.mark.long
ON = {"DEVPATCH_FAILFAST": "1"}


def bare_mode(*modes):
    return Mode("wsgiref", " ".join(modes), "bare", ("bare_site.py", "{port}", "wsgiref", *modes))


def mode_or_skip(name):
    if name not in BY_ID:
        pytest.skip("the framework is not installed")
    return BY_ID[name]


class TestPrograms:
    def test_a_program_that_catches_systemexit_exits_with_the_status(self, serve, tmp_path):
        mark = tmp_path / "mark"
        server = serve(bare_mode("catching"), **ON, SITE_EXIT_MARK=str(mark), DEVPATCH_FAILFAST_EXIT_CODE="5")
        server.get("/view/")
        assert server.exit_status() == 5
        assert mark.read_text() == "atexit ran"
        assert "went on" in server.stdout

    @pytest.mark.parametrize("way", ["own-handler", "own-handler-with-none"])
    def test_a_program_with_its_own_request_handler_is_guarded(self, serve, way):
        server = serve(bare_mode(way), **ON)
        server.get("/view/")
        assert server.exit_status() == 1
        assert f"GET http://127.0.0.1:{server.port}/view/: ValueError" in server.stderr

    @pytest.mark.parametrize("kind", ["wsgiref", "werkzeug"])
    def test_a_program_that_serves_inside_an_except_block(self, serve, kind):
        """
        1. A program falls back to this server when the import of another one fails.
        2. Healthy requests are not errors. The first error is that of the view.
        """
        server = serve(Mode(kind, "in-except", "bare", ("bare_site.py", "{port}", kind, "in-except")), **ON)
        for _ in range(3):
            assert server.get("/ok/").status == 200
        server.get("/view/")
        assert server.exit_status() == 1
        assert "/view/: " in server.stderr

    def test_clients_that_hang_up_on_a_handler_with_a_buffer(self, serve):
        server = serve(bare_mode("buffered"), **ON)
        for _ in range(3):
            with server.send("/big/") as connection:
                connection.recv(100)  # and close, with a reset: there is unread data
        assert server.get("/ok/").status == 200
        assert server.process.poll() is None, server.stderr
        server.get("/view/")
        assert server.exit_status() == 1

    def test_a_program_that_forks_is_refused(self, serve):
        server = serve(bare_mode("forking"), wait=False, **ON)
        assert server.exit_status() == 2
        assert "forks" in server.stderr

    def test_an_exit_code_whose_str_raises(self, serve):
        server = serve(bare_mode(), **ON)
        server.get("/exit-odd/")
        assert server.exit_status() == 1
        assert "sys.exit(<__main__.Odd object" in server.stderr

    def test_a_huge_message_is_printed_once(self, serve):
        server = serve(bare_mode("threaded"), **ON)
        server.get("/huge/")
        assert server.exit_status() == 1
        assert server.stderr.count("Traceback") == 1

    def test_control_characters_in_the_method_are_escaped(self, serve):
        server = serve(bare_mode(), **ON)
        server.get("/view/", method="G\x1b[31mT")
        assert server.exit_status() == 1
        assert "G%1B[31mT http://" in server.stderr


class TestEnvirons:
    def test_a_middleware_that_copies_the_environ_and_replaces_the_input(self, serve):
        server = serve(mode_or_skip("runserver-noreload"), **ON, SITE_COPIES_ENVIRON="1")
        server.get("/view/")
        assert server.exit_status() == 1

    @pytest.mark.parametrize(
        "middleware",
        [
            "with_a_debugger in_a_thread",
            "with_another_input in_a_thread",
            "with_a_debugger with_another_input in_a_thread",
        ],
    )
    def test_an_application_in_a_thread_without_the_context(self, serve, middleware):
        server = serve(mode_or_skip("run_simple-threads"), **ON, SITE_MIDDLEWARE=middleware)
        assert server.get("/ok/").status == 200
        assert server.get("/view/").status == 500
        assert server.exit_status() == 1

    def test_the_debugger_of_a_test_client_belongs_to_no_request(self, serve):
        server = serve(mode_or_skip("run_simple-threads"), **ON, SITE_MIDDLEWARE="with_a_test_client")
        for _ in range(3):
            assert server.get("/ok/").status == 200
        assert server.process.poll() is None, server.stderr

    def test_a_client_that_closes_after_a_whole_chunked_upload(self, serve):
        """Werkzeug reads until the client closes, and only then closes the response, which fails."""
        server = serve(mode_or_skip("app.run-"), **ON)
        body = b"4\r\nbody\r\n0\r\n\r\n"
        with server.send("/close/", "POST", body, ["Transfer-Encoding: chunked"]) as connection:
            assert read_response(connection).body == b"closing"
        assert server.exit_status() == 1
        assert "boom in close" in server.stderr


class TestTLS:
    @pytest.fixture
    def server(self, serve):
        pytest.importorskip("cryptography")
        plain = mode_or_skip("flask-run-")
        tls = Mode(plain.server, "tls", "flask", (*plain.arguments, "--cert=adhoc"), plain.environ)
        server = serve(tls, wait=False, **ON)
        server.wait_until_listening()
        return server

    @staticmethod
    def connect(server):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(server.connect())

    def test_the_whole_page_arrives(self, server):
        with server.send(
            "/view/", headers=["Connection: close"], connection=self.connect(server)
        ) as connection:
            page = read_to_end(connection)
        assert page.status == 500
        assert page.body.endswith(b"</p>\n")
        assert server.exit_status() == 1

    def test_the_page_arrives_although_the_client_has_more_to_send(self, server):
        headers = ["Content-Length: 100000"]
        with server.send("/upload-first/", "POST", b"", headers, self.connect(server)) as connection:
            time.sleep(0.2)  # so that the next bytes are a separate TLS record
            connection.sendall(b"part")
            assert connection.recv(12) == b"HTTP/1.1 500"
        assert server.exit_status() == 1

    def test_hang_ups_are_not_errors(self, server):
        with server.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")  # plain bytes on a TLS port
        with self.connect(server):
            pass
        with server.send("/upload/", "POST", b"part", ["Content-Length: 100000"], self.connect(server)):
            pass
        with server.send(
            "/ok/", headers=["Connection: close"], connection=self.connect(server)
        ) as connection:
            assert read_to_end(connection).status == 200
        assert server.process.poll() is None
        assert server.stderr.count("devpatch:") == 1


class TestCustomRunservers:
    @pytest.mark.parametrize("where", ["run", "inner_run", "handle", "no_asgi"])
    def test_one_that_replaces_djangos_method_is_refused(self, serve, where):
        server = serve(
            mode_or_skip("runserver-noreload"), wait=False, **ON, SITE_APPS="other_runserver", OTHER=where
        )
        assert server.exit_status() == 2, server.stderr
        assert "other_runserver.management.commands.runserver.Command" in server.stderr
        assert "replaces Django's" in server.stderr

    def test_one_that_passes_djangos_method_to_a_function_is_guarded(self, serve):
        """Its ``run`` passes Django's ``inner_run`` to a function as the second argument."""
        server = serve(mode_or_skip("runserver-noreload"), **ON, SITE_APPS="own_runserver", OWN="handed on")
        server.get("/view/")
        assert server.exit_status() == 1
        assert "a banner of our own" in server.stdout
