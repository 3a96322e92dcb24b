"""Start real development servers in processes, and send real HTTP requests to them."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

APPS = Path(__file__).parent / "apps"
TIMEOUT = 40.0  # seconds to wait for a condition; long, because the machine may be busy
POLL_INTERVAL = 0.1  # seconds between two requests of a poll; each request is work for the server
# Half of a request's body. A server that reads the headers does not get all of it into its buffer: the rest
# stays in the socket.
HALF_BODY = b"x" * 20_000
FULL_LENGTH = f"Content-Length: {2 * len(HALF_BODY)}"
FIRST_PORT = 12_000
PORTS_PER_WORKER = 1_000
MAX_WORKERS = 20


def own_ports() -> Iterator[int]:
    """
    Yield the ports of this process of pytest-xdist, round and round, from a random one on.

    A port is free until its server has started. Two processes that choose among the same ports would now and
    then give one port to two servers. The ports lie below those that clients get.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + worker % MAX_WORKERS * PORTS_PER_WORKER
    # Not the global generator: hypothesis seeds it with the same number in each worker.
    start = random.SystemRandom().randrange(PORTS_PER_WORKER)
    return (first + (start + step) % PORTS_PER_WORKER for step in itertools.count())


OWN_PORTS = own_ports()


fast_reload = False  # whether to turn fast reload on wherever a test turns fail-safe on


def free_port() -> int:
    """Return a free port that no other test gets."""
    while True:
        port = next(OWN_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def wait_for(condition, what, timeout=TIMEOUT, interval=0.02):
    """Call ``condition`` every ``interval`` seconds until its result is true, and return the result."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        result = condition()
        if result:
            return result
        time.sleep(interval)
    raise AssertionError(f"timed out after {timeout} s, waiting for {what() if callable(what) else what}")


def clean_environment(**variables: str) -> dict[str, str]:
    """Return a developer's environment plus ``variables``: nothing else of devpatch, pytest or a reloader."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DEVPATCH_", "PYTEST_", "FLASK_", "DJANGO_", "SITE_", "COV_", "PYTHON"))
        and name not in ("CI", "RUN_MAIN", "WERKZEUG_RUN_MAIN", "WERKZEUG_SERVER_FD")
    }
    if fast_reload and "DEVPATCH_FAILSAFE" in variables:
        environ["DEVPATCH_FASTRELOAD"] = "1"
    return {**environ, "DJANGO_RUNSERVER_HIDE_WARNING": "true", **variables}


@dataclass
class Response:
    status: int
    headers: str
    body: bytes
    seconds: float = 0.0


@dataclass
class DevServer:
    """A server, started as a developer starts it, in its own process group."""

    command: list[str]
    directory: Path
    folder: Path  # for the files stdout and stderr
    port: int
    environ: dict[str, str]
    process: subprocess.Popen = field(init=False)

    def start(self) -> DevServer:
        with open(self.folder / "stdout", "wb") as out, open(self.folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self

    def wait_until_ready(self) -> DevServer:
        def answers():
            assert self.process.poll() is None, f"exited with {self.process.returncode}:\n{self.stderr}"
            try:
                return self.get("/ok/").status == 200
            except OSError:
                return False

        wait_for(answers, lambda: f"an answer; stderr so far:\n{self.stderr}", interval=POLL_INTERVAL)
        return self

    def wait_until_listening(self) -> None:
        """Wait for a server that does not speak plain HTTP."""

        def listens():
            assert self.process.poll() is None, f"exited with {self.process.returncode}:\n{self.stderr}"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(listens, "a listening socket", interval=POLL_INTERVAL)

    @property
    def stderr(self) -> str:
        return (self.folder / "stderr").read_text(errors="replace")

    @property
    def stdout(self) -> str:
        return (self.folder / "stdout").read_text(errors="replace")

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        return connection

    def send(self, path, method="GET", body=b"", headers=(), connection=None) -> socket.socket:
        connection = connection or self.connect()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers]
        if body and not any(line.lower().startswith(("content-length", "transfer-enc")) for line in lines):
            lines.append(f"Content-Length: {len(body)}")
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        return connection

    def get(self, path, **options) -> Response:
        """Send a request and read until the server closes. Most programs in CI send Connection: close."""
        headers = (*options.pop("headers", ()), "Connection: close")
        started = time.monotonic()
        with self.send(path, headers=headers, **options) as connection:
            return read_to_end(connection, started)

    def exit_status(self, timeout=TIMEOUT) -> int:
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still runs; stderr:\n{self.stderr}") from None

    def assert_nothing_left(self) -> None:
        """Check that no process of the server's group is left, such as a reloader's worker."""

        def is_empty():
            try:
                os.killpg(self.process.pid, 0)
            except ProcessLookupError:
                return True
            return False

        wait_for(is_empty, "the end of every process of the server", timeout=5)

    def interrupt(self) -> None:
        """Press Ctrl-C: send SIGINT to the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def edit(server: DevServer, source: Path, old: str, new: str) -> None:
    """Change a file, and wait until the server has reloaded and answers again."""
    time.sleep(1.1)  # Both reloaders compare modification times, which some file systems round to seconds.
    source.write_text(source.read_text().replace(old, new))
    wait_for(lambda: "reloading" in server.stderr + server.stdout, "a reload")
    server.wait_until_ready()


def receive(connection: socket.socket) -> bytes:
    """Read until the server closes."""
    data = b""
    while chunk := connection.recv(65536):
        data += chunk
    return data


def receive_until(connection: socket.socket, is_complete) -> bytes:
    """Read until ``is_complete`` is true for the received bytes. The connection stays open."""
    data = b""
    while not is_complete(data):
        chunk = connection.recv(65536)
        assert chunk, f"closed after {data!r}"
        data += chunk
    return data


def read_to_end(connection: socket.socket, started: float = 0.0) -> Response:
    data = receive(connection)
    return parse(data, time.monotonic() - started)


def parse(data: bytes, seconds: float = 0.0) -> Response:
    if not data:
        return Response(0, "", b"", seconds)
    head, _, body = data.partition(b"\r\n\r\n")
    return Response(int(head.split(b" ")[1]), head.decode("latin-1"), body, seconds)


def read_response(connection: socket.socket) -> Response:
    """Read one response, as long as its Content-Length says. The connection stays open."""
    response = parse(receive_until(connection, lambda data: b"\r\n\r\n" in data))
    lengths = [line for line in response.headers.splitlines() if line.lower().startswith("content-length")]
    assert lengths, response.headers
    length = int(lengths[0].split(":")[1])
    while len(response.body) < length:
        chunk = connection.recv(65536)
        assert chunk, f"closed after {len(response.body)} of {length} bytes"
        response.body += chunk
    return response


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run this interpreter, and wait until it ends."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=APPS,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
    )
