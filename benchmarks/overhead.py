"""What fail-fast costs per request: Django's runserver and `flask run`, each with the switch and without it.

Both servers run at the same time and are asked in turn, a short block of requests each, so that a change
of the machine's pace hits both. Two processes that do the same differ by a per cent or so for as long as
they live (where their memory lies, say), so there are new ones for each pair of measurements.
"""

from __future__ import annotations

import argparse
import ctypes
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path

from measuring import REPOSITORY, bootstrap, environment, fresh_venv, print_table

SWITCHED_ON = {"DEVPATCH_FAILFAST": "1"}
LIMIT = 1.01  # how many times the time without the switch a request may take with it
PATIENCE = 30  # seconds for a server to start, to answer or to end


@dataclass(frozen=True)
class Framework:
    """An example application and the arguments for Python that serve it."""

    name: str
    example: str
    arguments: tuple[str, ...]


FRAMEWORKS = (
    Framework("runserver", "django_project", ("manage.py", "runserver", "--noreload", "{port}")),
    Framework("flask run", "flask_app", ("-m", "flask", "--app", "app", "run", "--port", "{port}")),
)


@dataclass(frozen=True)
class Cost:
    """Seconds for a number of requests: by the client's clock, and of the server's CPU time if it can be had."""

    wall: float
    cpu: float | None


class Server:
    """A development server in a process of its own. Its log goes to a file, as a terminal has its own pace."""

    def __init__(self, python: Path, framework: Framework, folder: Path, variables: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = probe.getsockname()
        port = str(self._address[1])
        self._log = folder / f"{port}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, *(argument.format(port=port) for argument in framework.arguments)],
                cwd=folder / framework.example,
                env=environment({"DJANGO_RUNSERVER_HIDE_WARNING": "true", **variables}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait_until_ready(self) -> None:
        """Return when the server accepts connections. Raises RuntimeError if it never does."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(self._address).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"the server does not answer:\n{self._log.read_text(errors='replace')}")

    def ask(self, path: str) -> int:
        """Send one request in a connection of its own, and return the status of the response.

        The client closes as soon as the body is complete, as others do. It must not wait for the server
        to close: Werkzeug's waits 10 ms for more from the client first, which would hide everything else.
        """
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._address[1]}\r\nConnection: close\r\n\r\n"
        with socket.socket() as connection:
            connection.settimeout(PATIENCE)
            connection.connect(self._address)
            connection.sendall(request.encode())
            with HTTPResponse(connection) as response:
                response.begin()
                response.read()
                return response.status

    def ask_often(self, requests: int) -> Cost:
        """Send requests one after the other. Raises RuntimeError for a response that is not as it should be."""
        cpu, wall = self._cpu_seconds(), time.perf_counter()
        for _ in range(requests):
            if (status := self.ask("/")) != 200:
                raise RuntimeError(f"status {status}:\n{self._log.read_text(errors='replace')}")
        wall = time.perf_counter() - wall
        return Cost(wall, None if cpu is None else self._cpu_seconds() - cpu)

    def ends_at_an_error(self) -> bool:
        """Let the application fail, and return whether that ended the server."""
        self.ask("/results/")
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _cpu_seconds(self) -> float | None:
        # The POSIX way to another process's CPU clock, which has no function in Python. /proc counts in
        # steps of 10 ms, which is too coarse for a block.
        try:
            clock = ctypes.c_int()
            if ctypes.CDLL(None).clock_getcpuclockid(self._process.pid, ctypes.byref(clock)) == 0:
                return time.clock_gettime(clock.value)
        except (AttributeError, OSError, TypeError):  # Windows and macOS have no such clock.
            pass
        return None


@dataclass(frozen=True)
class Pair:
    """The costs of the same number of requests with the switch and without it."""

    on: Cost
    off: Cost


def measure_pair(python: Path, framework: Framework, folder: Path, options: argparse.Namespace) -> Pair:
    """Start both servers and ask them block by block: off on, on off, off on, and so forth."""
    with (
        Server(python, framework, folder, {}) as off,
        Server(python, framework, folder, {} if options.control else SWITCHED_ON) as on,
    ):
        for server in (off, on):
            server.wait_until_ready()
            server.ask_often(options.warm_up)
        costs: dict[Server, list[Cost]] = {on: [], off: []}
        order = [off, on]
        for _ in range(options.blocks):
            for server in order:
                costs[server].append(server.ask_often(options.requests // options.blocks))
            order.reverse()
        if not (options.control or on.ends_at_an_error()):
            raise RuntimeError("the switch had no effect, so there was nothing to measure")
    return Pair(total(costs[on]), total(costs[off]))


def total(costs: Sequence[Cost]) -> Cost:
    """Add up the blocks."""
    cpu = [cost.cpu for cost in costs if cost.cpu is not None]
    return Cost(sum(cost.wall for cost in costs), sum(cpu) if cpu else None)


def report(framework: Framework, pairs: list[Pair], requests: int) -> list[tuple[str, ...]]:
    """Return a row for the client's clock and one for the server's CPU time."""
    rows = []
    for kind in ("wall", "cpu"):
        on, off = ([getattr(cost, kind) for cost in costs] for costs in zip(*((p.on, p.off) for p in pairs)))
        if None in on:
            continue
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=30, help="pairs of new servers per framework")
    parser.add_argument("--requests", type=int, default=400, help="to each server of a pair")
    parser.add_argument("--blocks", type=int, default=10, help="in which a pair's requests are sent")
    parser.add_argument("--warm-up", type=int, default=100, help="requests to each server before it counts")
    parser.add_argument(
        "--control", action="store_true", help="compare two servers without the switch instead"
    )
    parser.add_argument("--python-env", type=Path, help="an interpreter that has devpatch, Django and Flask")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = options.python_env or fresh_venv(folder, "django", "flask")
        import os

        if os.environ.get("PIN"):
            os.sched_setaffinity(0, {1})
        for framework in FRAMEWORKS:
            # A copy, for serving leaves a database and compiled files behind.
            shutil.copytree(REPOSITORY / "examples" / framework.example, folder / framework.example)
            t = time.time()
            pairs = [measure_pair(python, framework, folder, options) for _ in range(options.pairs)]
            print(framework.name, time.time() - t)
            for k in ("wall", "cpu"):
                r = [getattr(p.on, k) / getattr(p.off, k) for p in pairs]
                print(
                    k,
                    bootstrap(r).show(".4f"),
                    "sd",
                    statistics.stdev(r),
                    "per request off us",
                    1e6 * statistics.median(getattr(p.off, k) for p in pairs) / options.requests,
                )
                print(" ".join(f"{x:.3f}" for x in r))


if __name__ == "__main__":
    main()
