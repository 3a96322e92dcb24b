"""What a switch costs per request: Django's runserver and `flask run`, with the switch and without it.

Both servers run at the same time and get short blocks of requests alternately, so a slower phase of the
machine affects both. Two processes that do the same work differ by about one per cent during their whole
life, for example because of the layout of their memory. So each pair of measurements uses new processes.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import NamedTuple

from measuring import REPOSITORY, bootstrap, environment, fresh_venv, print_table, stay_on_one_cpu

SWITCHES = {
    "fail-fast": {"DEVPATCH_FAILFAST": "1"},
    "exc-info": {"DEVPATCH_EXC_INFO": "1"},
    "on-error": {"DEVPATCH_ON_ERROR": "builtins:print"},
    "error-log": {"DEVPATCH_ERROR_LOG": "errors.jsonl"},
    "summary": {"DEVPATCH_SUMMARY": "1"},
}
LIMIT = 0.97  # the target for requests/s with the switch, relative to those without it
SUMMARY_LIMIT = 0.90  # the same for the summary, which prints a line for each request
QUERIES_LIMIT = 0.95  # the same for the summary of a page that makes ten queries
TIMEOUT = 30  # seconds for a server to start, to answer or to end


@dataclass(frozen=True)
class Framework:
    """The folder of an application, the arguments for Python that serve it, and the switches to measure."""

    name: str
    folder: str
    arguments: tuple[str, ...]
    switches: tuple[str, ...] = tuple(SWITCHES)
    summary_limit: float = SUMMARY_LIMIT

    def limit(self, switch: str) -> float:
        """Return the target for ``switch``."""
        return self.summary_limit if switch == "summary" else LIMIT


_RUNSERVER = ("manage.py", "runserver", "--noreload", "{port}")
FRAMEWORKS = (
    Framework("runserver", "examples/django_project", _RUNSERVER),
    Framework("flask run", "examples/flask_app", ("-m", "flask", "--app", "app", "run", "--port", "{port}")),
    Framework("runserver, 10 queries", "benchmarks/queries_project", _RUNSERVER, ("summary",), QUERIES_LIMIT),
)


@dataclass(frozen=True)
class Cost:
    """Seconds for a number of requests: by the client's clock, and the server's CPU time, if available."""

    wall: float
    cpu: float | None


class Server:
    """A development server in its own process. Its log is a file, because a terminal could slow it down."""

    def __init__(self, python: Path, framework: Framework, folder: Path, variables: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = probe.getsockname()
        port = str(self._address[1])
        self._log = folder / f"{port}.log"
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, *(argument.format(port=port) for argument in framework.arguments)],
                cwd=folder / framework.folder,
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
        """Return when the server accepts connections. Raises RuntimeError after a timeout."""
        deadline = time.monotonic() + TIMEOUT
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(self._address).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"the server does not answer:\n{self._log.read_text(errors='replace')}")

    def send(self, path: str) -> int:
        """Send one request in a new connection and return the status of the response.

        The client closes when the body is complete, as other clients do. It must not wait until the server
        closes: before that Werkzeug waits 10 ms for more data, which would hide the cost of the switch.
        """
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._address[1]}\r\nConnection: close\r\n\r\n"
        with socket.socket() as connection:
            connection.settimeout(TIMEOUT)
            connection.connect(self._address)
            connection.sendall(request.encode())
            with HTTPResponse(connection) as response:
                response.begin()
                response.read()
                return response.status

    def send_block(self, requests: int) -> Cost:
        """Send requests one at a time. Raises RuntimeError if one of them fails."""
        cpu, wall = self._cpu_seconds(), time.perf_counter()
        for _ in range(requests):
            if (status := self.send("/")) != 200:
                raise RuntimeError(f"status {status}:\n{self._log.read_text(errors='replace')}")
        wall = time.perf_counter() - wall
        return Cost(wall, None if cpu is None else self._cpu_seconds() - cpu)

    def has_announced(self, switch: str) -> bool:
        """Whether the server has printed that ``switch`` is on."""
        return "devpatch: " in self._log.read_text(errors="replace")

    def _cpu_seconds(self) -> float | None:
        # Python has no function for this POSIX call, which gives another process's CPU clock. /proc counts in
        # steps of 10 ms, which is too coarse for a block.
        try:
            clock = ctypes.c_int()
            if ctypes.CDLL(None).clock_getcpuclockid(self._process.pid, ctypes.byref(clock)) == 0:
                return time.clock_gettime(clock.value)
        except (AttributeError, OSError, TypeError):  # Windows and macOS have no such clock.
            pass
        return None


class Pair(NamedTuple):
    """The costs of the same number of requests with the switch and without it."""

    on: Cost
    off: Cost


def measure_pair(
    python: Path, framework: Framework, switch: str, folder: Path, options: argparse.Namespace
) -> Pair:
    """Start both servers and send them blocks of requests alternately: A B, B A, A B, and so on."""
    # The same hash seed for both, because the order of names in dictionaries affects the speed.
    seed = {"PYTHONHASHSEED": str(random.randrange(1, 2**32))}
    with (
        Server(python, framework, folder, seed) as off,
        Server(python, framework, folder, {**seed, **({} if options.control else SWITCHES[switch])}) as on,
    ):
        order = random.sample((on, off), k=2)
        for server in order:
            server.wait_until_ready()
            server.send_block(options.warm_up)
        costs: dict[Server, list[Cost]] = {on: [], off: []}
        for _ in range(options.requests // options.block):
            for server in order:
                costs[server].append(server.send_block(options.block))
            order.reverse()
        if not (options.control or on.has_announced(switch)):
            raise RuntimeError("the switch had no effect, so there was nothing to measure")
    return Pair(typical(costs[on]), typical(costs[off]))


def typical(costs: Sequence[Cost]) -> Cost:
    """Return the median block, because other processes slow down some blocks a lot."""
    cpu = [cost.cpu for cost in costs if cost.cpu is not None]
    return Cost(statistics.median(cost.wall for cost in costs), statistics.median(cpu) if cpu else None)


def versions(python: Path) -> str:
    """Return the versions of what was measured."""
    program = (
        "import platform; from importlib.metadata import version; "
        'print(f\'Python {platform.python_version()}, Django {version("django")}, Flask {version("flask")}\')'
    )
    return subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def row(framework: Framework, switch: str, pairs: Sequence[Pair], requests: int) -> tuple[str, ...]:
    """Return the row of the table for a framework and a switch."""
    speed_on, speed_off = (
        bootstrap([requests / cost.wall for cost in costs]).median for costs in zip(*pairs, strict=True)
    )
    ratio = bootstrap([pair.off.wall / pair.on.wall for pair in pairs])
    extra = bootstrap([(pair.on.wall - pair.off.wall) / requests * 1e6 for pair in pairs])
    cpu = [pair.on.cpu / pair.off.cpu for pair in pairs if pair.on.cpu and pair.off.cpu]
    return (
        f"{framework.name}, {switch}",
        f"{speed_off:.0f}",
        f"{speed_on:.0f}",
        ratio.show(".4f"),
        f">= {framework.limit(switch)}",
        ratio.verdict(at_least=framework.limit(switch)),
        extra.show("+.1f"),
        bootstrap(cpu).show(".4f") if cpu else "not known",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=30, help="pairs of new servers per framework")
    parser.add_argument("--requests", type=int, default=2000, help="requests to each server of a pair")
    parser.add_argument(
        "--block", type=int, default=20, help="requests to one server before the other server gets its block"
    )
    parser.add_argument(
        "--warm-up", type=int, default=100, help="requests to each server that are not measured"
    )
    parser.add_argument(
        "--control", action="store_true", help="leave the switch off in both servers, to measure the noise"
    )
    parser.add_argument(
        "--switch", action="append", choices=SWITCHES, help="measure only this switch; may be repeated"
    )
    parser.add_argument("--python-env", type=Path, help="an interpreter that has devpatch, Django and Flask")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = (
            options.python_env.absolute() if options.python_env else fresh_venv(folder, "django", "flask")
        )
        about = versions(python)
        stay_on_one_cpu()
        for framework in FRAMEWORKS:
            # A copy, because the server creates a database and compiled files.
            shutil.copytree(REPOSITORY / framework.folder, folder / framework.folder)
            for switch in framework.switches:
                if switch not in (options.switch or SWITCHES):
                    continue
                pairs = [
                    measure_pair(python, framework, switch, folder, options) for _ in range(options.pairs)
                ]
                rows.append(row(framework, switch, pairs, options.block))
    print(f"{about}: medians of {options.pairs} pairs of {options.requests} requests [95% interval]")
    print_table(
        (
            "",
            "req/s off",
            "req/s on",
            "on/off",
            "target",
            "verdict",
            "extra µs per request",
            "server's CPU on/off",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
