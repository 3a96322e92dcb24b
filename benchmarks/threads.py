"""What DEVPATCH_THREADED gains: each server without and with the switch, under load from wrk.

Both servers of a row run at the same time and get their load alternately, so a slower phase of the machine
affects both. The row with a database needs PostgreSQL's programs and psycopg. Without PostgreSQL it is
skipped. The benchmark needs Linux, for wrk and for the measurement of memory.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import bootstrap, environment, fresh_venv, print_table

TIMEOUT = 30  # seconds for a server to start
MEMORY_REQUESTS = 10_000
MEMORY_LIMIT = 5.0  # MiB
IDLE_TIME = 13  # seconds; a thread ends when it has been idle for 10 s

DJANGO_SITE = """
import os, sys
from django.conf import settings
database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
if os.environ.get("PG_PORT"):
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres",
                "HOST": "127.0.0.1", "PORT": os.environ["PG_PORT"], "CONN_MAX_AGE": 60}
settings.configure(DEBUG=False, SECRET_KEY="x", ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__,
                   DATABASES={"default": database}, USE_TZ=True,
                   MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
from django.db import connection
from django.http import HttpResponse
from django.urls import path

def hello(request):
    return HttpResponse("hello")

def select(request):
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        return HttpResponse(str(cursor.fetchone()[0]))

urlpatterns = [path("", hello), path("select/", select)]
if __name__ == "__main__":
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
FLASK_SITE = """
from flask import Flask
app = Flask(__name__)

@app.get("/")
def hello():
    return "hello"
"""


@dataclass(frozen=True)
class Load:
    """A row of the table: what is served, the load, and the target for the ratio."""

    title: str
    framework: str
    path: str
    clients: int
    keep_alive: bool
    metric: str  # "latency" or "speed"
    target: float
    database: bool = False


LOADS = (
    Load("runserver, keep-alive, 1 client: median latency", "django", "/", 1, True, "latency", 40),
    Load("runserver, keep-alive, 16 clients: requests/s", "django", "/", 16, True, "speed", 4),
    Load("runserver, a connection per request, 16 clients", "django", "/", 16, False, "speed", 0.95),
    Load("runserver, select 1, keep-alive, 16 clients", "django", "/select/", 16, True, "speed", 3, True),
    Load("flask run, 16 clients", "flask", "/", 16, False, "speed", 0.95),
)


@dataclass(frozen=True)
class Sample:
    """One run of wrk: requests per second, the median latency in ms, and the number of failed requests."""

    speed: float
    latency: float
    failed: int
    requests: int


def wrk(port: int, load: Load, seconds: float) -> Sample:
    """Load a server and return the sample. Raises RuntimeError if wrk's report has an unknown format."""
    command = ["wrk", "-t1", f"-c{load.clients}", f"-d{seconds:.0f}s", "--latency", "--timeout", "10s"]
    if not load.keep_alive:
        command += ["-H", "Connection: close"]
    report = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{load.path}"], check=True, capture_output=True, text=True
    ).stdout
    speed = re.search(r"Requests/sec:\s+([\d.]+)", report)
    median = re.search(r"50%\s+([\d.]+)(us|ms|s)", report)
    requests = re.search(r"(\d+) requests in", report)
    if not (speed and median and requests):
        raise RuntimeError(report)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", report)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    failed = int(refused[1]) if refused else 0
    if broken:
        # If the server closes after each response, wrk counts some of them as read errors.
        failed += sum(map(int, broken.groups() if load.keep_alive else broken.group(1, 3, 4)))
    unit = {"us": 1e-3, "ms": 1.0, "s": 1e3}[median[2]]
    return Sample(float(speed[1]), float(median[1]) * unit, failed, int(requests[1]))


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Return when ``condition`` is true. Raises RuntimeError after a timeout."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"timeout while waiting for {what}")
        time.sleep(0.05)


def is_listening(port: int) -> bool:
    """Whether a server accepts connections on ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(
    python: Path, folder: Path, framework: str, variables: dict[str, str]
) -> Iterator[tuple[int, int]]:
    """Run a development server. Yield its port and process id."""
    port = free_port()
    arguments = {
        "django": ["django_site.py", "runserver", "--noreload", str(port)],
        "flask": ["-m", "flask", "--app", "flask_site", "run", "--port", str(port)],
    }[framework]
    with open(folder / f"{port}.log", "wb") as log:
        process = subprocess.Popen(
            [python, *arguments],
            cwd=folder,
            env=environment({"DJANGO_RUNSERVER_HIDE_WARNING": "true", **variables}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: is_listening(port), f"{framework} on port {port}")
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def postgres(folder: Path) -> Iterator[int | None]:
    """Run a PostgreSQL server on loopback. Yield its port, or None if PostgreSQL is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(found).parent for found in [shutil.which("initdb")] if found
    ]
    if not programs:
        print("PostgreSQL is not installed: its row is skipped", file=sys.stderr)
        yield None
        return
    data, port = folder / "postgres", free_port()
    data.mkdir()
    owner: dict[str, Any] = {}
    if os.getuid() == 0:  # PostgreSQL does not run as root.
        owner = {"user": "postgres", "group": "postgres"}
        folder.chmod(0o755)
        shutil.chown(data, **owner)
    initdb = [programs[-1] / "initdb", "-D", data, "-U", "postgres", "-A", "trust"]
    subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **owner)
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(data)]
    server = subprocess.Popen(
        [programs[-1] / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, cwd="/", **owner
    )
    try:
        wait_until(lambda: is_listening(port), "PostgreSQL")
        time.sleep(1)
        yield port
    finally:
        server.terminate()
        server.wait()


def compare(
    python: Path, folder: Path, load: Load, options: argparse.Namespace, port: int | None
) -> tuple[str, ...]:
    """Load both servers alternately and return the row of the table."""
    variables = {"PG_PORT": str(port)} if load.database else {}
    with (
        serving(python, folder, load.framework, variables) as (stock, _),
        serving(python, folder, load.framework, {**variables, "DEVPATCH_THREADED": "1"}) as (threaded, _),
    ):
        samples: dict[int, list[Sample]] = {stock: [], threaded: []}
        order = [stock, threaded]
        for server in order:
            wrk(server, load, 1)
        for _ in range(options.rounds):
            for server in order:
                samples[server].append(wrk(server, load, options.seconds))
            order.reverse()
    if load.metric == "latency":
        before, after = ([sample.latency for sample in samples[server]] for server in (stock, threaded))
        ratios, form = [a / b for a, b in zip(before, after, strict=True)], "{:.2f} ms"
    else:
        before, after = ([sample.speed for sample in samples[server]] for server in (stock, threaded))
        ratios, form = [b / a for a, b in zip(before, after, strict=True)], "{:.0f}/s"
    estimate = bootstrap(ratios)
    failed = {server: sum(sample.failed for sample in samples[server]) for server in samples}
    return (
        load.title,
        form.format(statistics.median(before)),
        form.format(statistics.median(after)),
        estimate.show(".2f"),
        f">= {load.target:g}",
        estimate.verdict(at_least=load.target),
        f"{failed[stock]} / {failed[threaded]}",
    )


def resident(process: int) -> float:
    """Return a process's resident memory in MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_growth(python: Path, folder: Path) -> float:
    """Return by how many MiB an idle server with the switch has grown after 10,000 requests."""
    load = LOADS[1]
    with serving(python, folder, "django", {"DEVPATCH_THREADED": "1"}) as (port, process):
        wrk(port, load, 1)
        time.sleep(IDLE_TIME)
        before, done = resident(process), 0
        while done < MEMORY_REQUESTS:
            done += wrk(port, load, 2).requests
        time.sleep(IDLE_TIME)
        return resident(process) - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="number of loads for each server")
    parser.add_argument("--seconds", type=float, default=2, help="duration of each load")
    parser.add_argument(
        "--python-env", type=Path, help="an interpreter with devpatch, Django, Flask and psycopg"
    )
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; it generates the load")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        python = options.python_env or fresh_venv(folder, "django", "flask", "psycopg[binary]")
        (folder / "django_site.py").write_text(DJANGO_SITE)
        (folder / "flask_site.py").write_text(FLASK_SITE)
        port = stack.enter_context(postgres(folder))
        loads = [load for load in LOADS if port is not None or not load.database]
        rows = [compare(python.absolute(), folder, load, options, port) for load in loads]
        grown = memory_growth(python.absolute(), folder)
    print(f"{options.rounds} rounds of {options.seconds:.0f} s each [95% interval of the ratio]")
    print_table(
        ("", "stock", "threaded", "times as good", "target", "verdict", "failed: stock / threaded"), rows
    )
    verdict = "met" if grown <= MEMORY_LIMIT else "missed"
    print(f"idle memory after {MEMORY_REQUESTS} requests: {grown:+.1f} MiB, <= {MEMORY_LIMIT:.0f}: {verdict}")


if __name__ == "__main__":
    main()
