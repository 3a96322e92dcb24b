"""What a reload costs: the time from a save to the first answer of the new code, and the refused connections.

Each server runs in several ways at the same time: without devpatch, with fail-safe, and with fast reload. Their files
are saved in turn, at random moments. During a reload a new client connects every 20 ms. The reloaders poll once a
second, which adds a random part of up to a second. So the time after the reloader's message is measured too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measuring import environment, fresh_venv, print_table
from reload_projects import KINDS, OTHERS, WAYS, Kind, Way, create

TIMEOUT = 30.0  # seconds; an answer that takes longer counts as refused
CLIENT_INTERVAL = 0.02  # seconds between two clients
SETTLE = 15.0  # seconds until a server with a standby is idle
IDLE = 30.0  # seconds for which an idle server is measured
WARMING = 20  # seconds in which a standby gets ready, although requests come all the time
COLUMNS = ("s, median (worst)", "reload", "after the reloader's message", "recovery", "refused")
RELOAD_MESSAGE = re.compile(rb"changed, reloading|Detected change in")  # as the reloaders print it


@dataclass
class Result:
    """The seconds of each reload, the number of clients, and how many of them were refused."""

    healthy: list[float] = field(default_factory=list)
    restart: list[float] = field(default_factory=list)  # the part of each reload after the reloader's message
    recovery: list[float] = field(default_factory=list)
    clients: int = 0
    refused: int = 0


class Session:
    """A reloading server with its own copy of a project."""

    def __init__(self, python: Path, kind: Kind, folder: Path, way: Way) -> None:
        self.result = Result()
        self._kind = kind
        self._version = 0
        create(python, kind, folder, way.apps)
        self._file = folder / kind.file
        self._log = folder / "log.txt"
        self._save(kind.text.format(version="version 0"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, *way.command(kind, self._port)],
                cwd=folder,
                env=environment({**way.variables, "DJANGO_RUNSERVER_HIDE_WARNING": "true"}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until(lambda answer: answer is not None and b"version 0" in answer)

    def _save(self, text: str) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(text)

    def _ask(self) -> bytes | None:
        """Return a response, or None if the connection was refused, interrupted or too slow."""
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b""
                while data := connection.recv(65536):
                    answer += data
        except OSError:
            return None
        return answer or None

    def _wait_until(self, is_expected: Callable[[bytes | None], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT
        while not is_expected(self._ask()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._kind.name} did not answer as expected")
            time.sleep(CLIENT_INTERVAL)

    def reload(self) -> None:
        """Save a working version while clients connect. Record the time and the refused clients."""
        time.sleep(1 + random.random())
        log_size = self._log.stat().st_size
        noticed: list[float] = []
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(0.002):
                with open(self._log, "rb") as log:
                    log.seek(log_size)
                    if RELOAD_MESSAGE.search(log.read()):
                        noticed.append(time.perf_counter())
                        return

        follower = threading.Thread(target=follow)
        follower.start()
        saved = time.perf_counter()
        took = self._save_and_wait()
        ended.set()
        follower.join()
        self.result.healthy.append(took)
        self.result.restart += [saved + took - moment for moment in noticed]

    def recover(self) -> None:
        """Save a broken version, then a working one. Record the time of the recovery."""
        self._save(self._kind.text.format(version="broken") + "\ndef (\n")
        self._wait_until(lambda answer: answer is not None and b" 500 " in answer.splitlines()[0])
        time.sleep(0.5 + random.random())
        self.result.recovery.append(self._save_and_wait())

    def _save_and_wait(self) -> float:
        self._version += 1
        version = f"version {self._version}".encode()
        answered: list[float] = []
        clients: list[threading.Thread] = []

        def ask() -> None:
            answer = self._ask()
            self.result.clients += 1
            if answer is None:
                self.result.refused += 1
            elif answer.endswith(version):
                answered.append(time.perf_counter())

        self._save(self._kind.text.format(version=version.decode()))
        saved = time.perf_counter()
        while not answered and time.perf_counter() < saved + TIMEOUT:
            clients.append(threading.Thread(target=ask))
            clients[-1].start()
            time.sleep(CLIENT_INTERVAL)
        for client in clients:
            client.join()
        return min(answered, default=saved + TIMEOUT) - saved

    def speeds(self, seconds: int) -> list[int]:
        """Ask without a pause, and return the number of answers in each second.

        Each request has a connection of its own. On a kept one, the stock server's answers wait 40 ms for the system.
        """
        counts = [0] * seconds
        began = time.monotonic()
        while (second := int(time.monotonic() - began)) < seconds:
            counts[second] += self._ask() is not None
        return counts

    def _processes(self) -> list[str]:
        """Return the folders in /proc of the server's processes."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if os.getsid(int(folder.name)) == self._process.pid:
                    found.append(str(folder))
            except OSError:
                continue  # It has just ended.
        return found

    def cpu(self) -> float:
        """Return the processor time of the server's processes, in seconds."""
        words = [Path(folder, "stat").read_text().rpartition(")")[2].split() for folder in self._processes()]
        return sum(int(word[11]) + int(word[12]) for word in words) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Return the memory of the server's processes, in bytes. What they share counts once."""
        lines = [Path(folder, "smaps_rollup").read_text().splitlines() for folder in self._processes()]
        return sum(int(line.split()[1]) for file in lines for line in file if line.startswith("Pss:")) * 1024

    def stop(self) -> None:
        """Stop the server and all its processes."""
        self._process.terminate()
        self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def measure(python: Path, kind: Kind, rounds: int, ways: Sequence[Way]) -> dict[str, Result]:
    """Return the result of each way, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        sessions = {way: Session(python, kind, Path(folder, f"way{n}"), way) for n, way in enumerate(ways)}
        try:
            for _ in range(rounds):
                for session in random.sample(list(sessions.values()), len(sessions)):
                    session.reload()
            for _ in range(rounds):
                for way, session in sessions.items():
                    if way.variables:
                        session.recover()
        finally:
            for session in sessions.values():
                session.stop()
        return {way.name: session.result for way, session in sessions.items()}


def measure_idle(python: Path, kind: Kind, ways: Sequence[Way]) -> None:
    """Print the processor time and the memory of each way while nothing happens. Linux only."""
    rows = []
    for way in ways:
        with tempfile.TemporaryDirectory() as folder:
            session = Session(python, kind, Path(folder, "idle"), way)
            time.sleep(SETTLE)
            before = session.cpu()
            time.sleep(IDLE)
            share = (session.cpu() - before) / IDLE
            rows.append((f"{kind.name}, {way.name}", f"{share:.2%}", f"{session.memory() / 1e6:.0f} MB"))
            session.stop()
    print_table(("idle", "of a core", "memory (PSS) of all processes"), rows)


def measure_warming(python: Path, kind: Kind, rounds: int, ways: Sequence[Way]) -> None:
    """Print the requests per second of new servers. Some of them prepare a standby at that time."""
    results: dict[str, list[list[int]]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        for way in random.sample(list(ways), len(ways)):
            with tempfile.TemporaryDirectory() as folder:
                session = Session(python, kind, Path(folder, "warming"), way)
                results[way.name].append(session.speeds(WARMING))
                session.stop()
    rows = [
        (
            f"{kind.name}, {name}",
            f"{statistics.median(statistics.mean(counts) for counts in found):.0f}",
            f"{statistics.median(min(counts) for counts in found):.0f}",
        )
        for name, found in results.items()
    ]
    print_table((f"the first {WARMING} s", "requests/s", "in the slowest second"), rows)


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    kinds = [kind for kind in KINDS if not options.kind or kind.name in options.kind]
    ways = [way for way in (*WAYS, *OTHERS) if way.name in options.way or (not options.way and way in WAYS)]
    with tempfile.TemporaryDirectory() as folder:
        needed = {name for chosen in (*kinds, *ways) for name in chosen.distributions}
        python = options.python_env or fresh_venv(
            Path(folder), "django", "flask", "django-extensions", "watchfiles", *needed
        )
        for kind in kinds:
            fitting = [way for way in ways if not way.only_django or "manage.py" in kind.arguments]
            if options.idle:
                measure_idle(python, kind, fitting)
                continue
            if options.warming:
                measure_warming(python, kind, options.rounds, fitting)
                continue
            results = measure(python, kind, options.rounds, fitting)
            rows = [(f"{kind.name}, {name}", *_columns(result)) for name, result in results.items()]
            print_table(COLUMNS, rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="number of reloads for each server")
    parser.add_argument("--idle", action="store_true", help="measure the idle servers instead of reloads")
    parser.add_argument("--warming", action="store_true", help="measure requests while a standby gets ready")
    names = [kind.name for kind in KINDS]
    parser.add_argument("--kind", action="append", choices=names, help="only this one; may be repeated")
    names = [way.name for way in (*WAYS, *OTHERS)]
    parser.add_argument(
        "--way", action="append", choices=names, default=[], help="only this one; may be repeated"
    )
    parser.add_argument(
        "--python-env", type=Path, help="an interpreter with all of it; default: a fresh environment"
    )
    return parser.parse_args()


def _columns(result: Result) -> tuple[str, ...]:
    return (
        *(_seconds(values) for values in (result.healthy, result.restart, result.recovery)),
        f"{result.refused} of {result.clients}",
    )


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({max(values):.3f})" if values else "-"


if __name__ == "__main__":
    main()
