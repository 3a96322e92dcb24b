"""What a reload costs: the time from a save to the first answer of the new code, and the refused connections.

Each server runs twice at the same time, with fail-safe and without it. The files of both are saved
alternately, at random moments. During a reload a new client connects every 20 ms. The reloaders poll once a
second, which adds a random part of up to a second. So the time after the reloader's message is measured too.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from measuring import REPOSITORY, environment, fresh_venv, print_table

TIMEOUT = 30.0  # seconds; an answer that takes longer counts as refused
CLIENT_INTERVAL = 0.02  # seconds between two clients
RELOAD_MESSAGE = re.compile(rb"changed, reloading|Detected change in")  # as the reloaders print it
DJANGO = "from django.http import HttpResponse\ndef index(request): return HttpResponse('{version}')\nresults = index\n"
FLASK = (
    "import sys\nfrom flask import Flask\napp = Flask(__name__)\n"
    "@app.get('/')\ndef index(): return '{version}'\n"
    "if __name__ == '__main__': app.run(debug=True, port=int(sys.argv[1]))\n"
)
WERKZEUG = (
    "import sys\nfrom werkzeug import Response, run_simple\n"
    "def app(environ, start_response): return Response('{version}')(environ, start_response)\n"
    "if __name__ == '__main__': run_simple('127.0.0.1', int(sys.argv[1]), app, use_reloader=True, threaded=True)\n"
)


@dataclass(frozen=True)
class Kind:
    """A server: the arguments for Python that start it, the file that is saved, and the text of the file."""

    name: str
    arguments: tuple[str, ...]
    file: str
    text: str
    modules: int = 0  # of the project, in packages of 17, which the file imports
    files: int = 0  # of the project, which nobody imports


BULK = "import bulk\n" + DJANGO
# A load of about five seconds on the machine on which the README's figures were measured.
SLOW = "sum(number * number for number in range(80_000_000))\n" + DJANGO
KINDS = (
    Kind("runserver", ("manage.py", "runserver", "{port}"), "polls/views.py", DJANGO),
    Kind("runserver_plus", ("manage.py", "runserver_plus", "{port}"), "polls/views.py", DJANGO),
    Kind("run_simple", ("app.py", "{port}"), "app.py", WERKZEUG),
    Kind("app.run", ("app.py", "{port}"), "app.py", FLASK),
    Kind("1,000 modules", ("manage.py", "runserver", "{port}"), "polls/views.py", BULK, modules=1000),
    Kind("20,000 files", ("manage.py", "runserver", "{port}"), "polls/views.py", SLOW, files=20_000),
    Kind("flask run", ("-m", "flask", "--app", "app", "run", "--debug", "-p", "{port}"), "app.py", FLASK),
)


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

    def __init__(self, python: Path, kind: Kind, folder: Path, variables: dict[str, str]) -> None:
        self.result = Result()
        self._kind = kind
        self._version = 0
        if "manage.py" in kind.arguments:
            shutil.copytree(REPOSITORY / "examples" / "django_project", folder, dirs_exist_ok=True)
            with open(folder / "mysite" / "settings.py", "a") as settings:
                settings.write("\nINSTALLED_APPS = [*INSTALLED_APPS, 'django_extensions']\n")
        _add_modules(folder / "bulk", kind.modules)
        for number in range(kind.files):
            file = folder / "data" / str(number // 200) / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        self._file = folder / kind.file
        self._log = folder / "log.txt"
        self._save(kind.text.format(version="version 0"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [python, *(argument.format(port=self._port) for argument in kind.arguments)],
                cwd=folder,
                env=environment({**variables, "DJANGO_RUNSERVER_HIDE_WARNING": "true"}),
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

    def stop(self) -> None:
        """Stop the server."""
        self._process.terminate()
        self._process.wait()


def _add_modules(folder: Path, count: int) -> None:
    """Write a package with ``count`` modules in packages of 17. It imports all of them."""
    body = "".join(f"class Model{number}:\n    def method(self): return {number}\n" for number in range(20))
    packages = []
    for start in range(0, count, 17):
        package = folder / f"part{start}"
        package.mkdir(parents=True)
        names = [f"module{number}" for number in range(start, min(start + 17, count))]
        for name in names:
            (package / f"{name}.py").write_text(body)
        (package / "__init__.py").write_text("".join(f"from . import {name}\n" for name in names))
        packages.append(package.name)
    if packages:
        (folder / "__init__.py").write_text("".join(f"from . import {name}\n" for name in packages))


def measure(python: Path, kind: Kind, rounds: int) -> tuple[Result, Result]:
    """Return the results of the stock server and of the server with fail-safe."""
    with tempfile.TemporaryDirectory() as folder:
        stock = Session(python, kind, Path(folder, "stock"), {})
        failsafe = Session(python, kind, Path(folder, "failsafe"), {"DEVPATCH_FAILSAFE": "1"})
        try:
            for _ in range(rounds):
                for session in random.sample((stock, failsafe), 2):
                    session.reload()
            for _ in range(rounds):
                failsafe.recover()
        finally:
            stock.stop()
            failsafe.stop()
        return stock.result, failsafe.result


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="number of reloads for each server")
    parser.add_argument(
        "--kind",
        action="append",
        choices=[kind.name for kind in KINDS],
        help="only this one; may be repeated",
    )
    parser.add_argument(
        "--python-env", type=Path, help="an interpreter with all of it; default: a fresh environment"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = options.python_env or fresh_venv(Path(folder), "django", "flask", "django-extensions")
        rows = []
        for kind in KINDS:
            if options.kind and kind.name not in options.kind:
                continue
            stock, failsafe = measure(python, kind, options.rounds)
            rows.append(
                (
                    kind.name,
                    *(_seconds(values) for values in (stock.healthy, failsafe.healthy)),
                    *(_seconds(values) for values in (stock.restart, failsafe.restart, failsafe.recovery)),
                    f"{stock.refused} of {stock.clients}",
                    f"{failsafe.refused} of {failsafe.clients}",
                )
            )
        print_table(
            (
                "s, median (worst)",
                "reload, stock",
                "reload, fail-safe",
                "after the reloader's message, stock",
                "after the reloader's message, fail-safe",
                "recovery, fail-safe",
                "refused, stock",
                "refused, fail-safe",
            ),
            rows,
        )


def _seconds(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({max(values):.2f})"


if __name__ == "__main__":
    main()
