"""The contract of DEVPATCH_FAILFAST, for every server in every mode with every kind of error."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from servers import MODES, select_modes

ALL = frozenset({"bare", "django", "flask"})


@dataclass(frozen=True)
class Kind:
    """A kind of error: the path that raises it, the message in the report, the applications that have it."""

    path: str
    message: str
    sites: frozenset[str] = ALL
    status: int = 1
    environ: tuple[tuple[str, str], ...] = ()
    name: str = ""

    @property
    def id(self):
        return self.name or self.path.strip("/")


DJANGO, FLASK, FRAMEWORKS = frozenset({"django"}), frozenset({"flask"}), frozenset({"django", "flask"})
KINDS = [
    Kind("/view/", "ValueError: boom in a view"),
    Kind("/middleware/", "ValueError: boom in a middleware", FRAMEWORKS),
    Kind("/template/", "ValueError: boom in a template", FRAMEWORKS),
    Kind("/async/", "ValueError: boom in an async view", FRAMEWORKS),
    Kind("/bare/", "ValueError: boom in the bare application", DJANGO),
    Kind("/stream/", "ValueError: boom in a stream"),
    Kind("/stream-first/", "ValueError: boom before the first byte"),
    Kind("/close/", "ValueError: boom in close"),
    Kind("/own-socket/", "BrokenPipeError: "),
    Kind("/connection-error/", "ConnectionResetError: the database went away"),
    Kind("/stream-connection-error/", "ConnectionResetError: the database went away in a stream"),
    Kind(
        "/view/",
        "ValueError: boom in a view",
        FRAMEWORKS,
        1,
        (("SITE_DEBUG", "0"), ("SITE_CUSTOM_500", "1")),
        "custom 500 page",
    ),
    Kind(
        "/view/",
        "ValueError: boom in a view",
        DJANGO,
        1,
        (("SITE_DEBUG", "0"), ("SITE_CUSTOM_500", "raises")),
        "handler500 raises",
    ),
    Kind("/view/", "ValueError: boom in a view", DJANGO, 1, (("SITE_DEBUG", "0"),), "debug off"),
    Kind("/view/", "ValueError: boom in a view", DJANGO, 1, (("SITE_PROPAGATE", "1"),), "propagated"),
    Kind("/exit-7/", "sys.exit(7)", ALL, 7),
    Kind("/async-exit-7/", "sys.exit(7)", DJANGO, 7),
    Kind("/exit-3/", "sys.exit(3)", ALL, 1),
    Kind("/exit-text/", "sys.exit('text for the operator')", ALL, 1),
]


def pytest_generate_tests(metafunc):
    if "kind" in metafunc.fixturenames:
        is_short = metafunc.config.getoption("--short")
        modes = select_modes(MODES, metafunc.config, variations=True)
        kinds = [kind for kind in KINDS if not is_short or kind.id in ("view", "async", "exit-7")]
        cases = [(mode, kind) for mode in modes for kind in kinds if mode.site in kind.sites]
        metafunc.parametrize("mode,kind", cases, ids=lambda value: value.id)


@pytest.mark.contract
class TestErrors:
    def test_the_server_stops_and_says_why(self, serve, mode, kind):
        """
        1. Start the server with fail-fast and request a page that fails.
        2. The response arrives. The process, and the reloader's parent, end with the exit status.
        3. Stderr has the exception, method, URL and exit status, and one traceback of the exception.
        """
        server = serve(mode, DEVPATCH_FAILFAST="1", **dict(kind.environ))
        server.get(kind.path)
        answered = time.monotonic()
        assert server.exit_status() == kind.status, server.stderr
        took = time.monotonic() - answered
        server.assert_nothing_left()
        stderr = server.stderr
        report = [line for line in stderr.splitlines() if line.startswith("devpatch: ")]
        assert len(report) == 3, stderr
        assert report[0] == "devpatch: fail-fast (exit 1)"
        assert f"GET http://127.0.0.1:{server.port}{kind.path}: " in report[1]
        assert kind.message in report[1]
        assert report[2].endswith(f"exit status {kind.status}")
        if not kind.message.startswith("sys.exit"):
            raised = [line for line in stderr.splitlines() if line.startswith(kind.message)]
            # The debugger closes the response again, which fails again. It shows both exceptions in a chain.
            assert len(raised) == (2 if kind.id == "close" and "debugger" in mode.marks else 1), stderr
        assert "devpatch/" not in stderr.replace(str(mode.directory), "")
        assert "went on after" not in server.stdout
        if kind.path == "/exit-text/":
            assert "\ntext for the operator\n" in stderr
        assert took < 5, f"took {took:.1f} s, of 2 allowed"

    @pytest.mark.long
    def test_the_switch_sets_the_exit_code(self, serve, mode):
        server = serve(mode, DEVPATCH_FAILFAST="1", DEVPATCH_FAILFAST_EXIT_CODE="42")
        assert server.get("/view/").status == 500
        assert server.exit_status() == 42
        server.assert_nothing_left()


NOT_ERRORS = {
    "django": "404 403 400 suspicious too-big multipart rescued status-500 closers test-client ok",
    "flask": "404 403 400 rescued status-500 abort-500 ok",
    "bare": "status-500 ok",
}


@pytest.mark.contract
class TestNotErrors:
    def test_the_server_keeps_running(self, serve, mode):
        """None of these requests stops the server. Then an error stops it, so fail-fast was on."""
        server = serve(mode, DEVPATCH_FAILFAST="1")
        names = NOT_ERRORS[mode.site].split()
        if mode.server == "runserver_plus":
            names.remove("test-client")  # There the test client raises the error of the inner request.
        for name in names:
            response = server.get(f"/{name}/")
            assert response.status, name
            assert server.process.poll() is None, f"{name}\n{server.stderr}"
        self.hang_up_in_many_ways(server, mode)
        self.send_malformed_requests(server)
        assert b"ok" in server.get("/ok/").body
        # Some sites have a handler that answers an exception with a 500. A line says once that it is no error.
        hints = server.stderr.count("a handler answered ")
        assert hints <= 1
        assert server.stderr.count("devpatch:") == 1 + hints, server.stderr
        server.get("/view/")
        assert server.exit_status() == 1
        assert "ValueError: boom in a view" in server.stderr

    def hang_up_in_many_ways(self, server, mode):
        with server.send("/big/") as connection:
            connection.recv(100)  # then close it: the unread data causes a reset
        with server.send("/upload/", "POST", b"half", ["Content-Length: 100000"]):
            pass
        with server.send("/upload/", "POST", b"half", ["Content-Length: 100000"]) as connection:
            connection.shutdown(1)
            connection.recv(100)
        if mode.site != "bare":
            with server.send("/upload-json/", "POST", b'{"a": ', ["Content-Length: 100000"]) as connection:
                connection.shutdown(1)
                connection.recv(100)
        assert server.get("/ok/").status == 200
        assert server.process.poll() is None, server.stderr

    def send_malformed_requests(self, server):
        for request in (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(64)) + b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\r\n",
            b"",
        ):
            with server.connect() as connection:
                connection.sendall(request)
                connection.shutdown(1)
                try:
                    connection.recv(1000)
                except ConnectionResetError:
                    pass
        assert server.get("/ok/").status == 200
        assert server.process.poll() is None, server.stderr
