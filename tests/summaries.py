"""Start the projects whose views count their own queries, and read what DEVPATCH_SUMMARY says of them."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import APPS, DevServer, clean_environment, free_port, wait_for
from reporting import parse

COMMANDS = {
    "runserver": ("django", "manage.py runserver 127.0.0.1:{port}"),
    "runserver nothreading": ("django", "manage.py runserver --noreload --nothreading 127.0.0.1:{port}"),
    "runserver_plus": ("django", "manage.py runserver_plus 127.0.0.1:{port}"),
    "flask run": ("flask", "-m flask --app cost_app run -p {port}"),
    "flask run debug": ("flask", "-m flask --app cost_app run -p {port} --debug"),
}
_NEEDS = {
    "django": ("django",),
    "flask": ("flask", "flask_sqlalchemy", "flask_caching"),
    "runserver_plus": ("django_extensions", "werkzeug"),
}


@dataclass
class Project:
    """A server of a project, with the file of its requests."""

    server: DevServer
    log: Path

    def lines(self, path: str = "/") -> list[dict]:
        """Return the lines of the requests whose path begins with ``path``. Each is checked."""
        texts = self.log.read_text().splitlines() if self.log.exists() else []
        lines = [valid(text) for text in texts]
        return [line for line in lines if line["path"].startswith(path)]

    def get(self, path: str, **options):
        """Send a request. Return the response and its line of the log."""
        plain = path.partition("?")[0]
        before = len(self.lines(plain))
        response = self.server.get(path, **options)
        wait_for(lambda: len(self.lines(plain)) > before, lambda: f"a line of {path}; {self.server.stderr}")
        return response, self.lines(plain)[-1]

    def printed(self, path: str) -> str:
        """Return the line that was printed last under the server's own line for ``path``."""

        def find():
            lines = self.server.stderr.splitlines()
            numbers = [n for n, line in enumerate(lines) if f" {path} HTTP/1" in line]
            below = lines[numbers[-1] + 1 : numbers[-1] + 2] if numbers else []
            return below[0] if below else None

        return wait_for(find, lambda: f"a line under that of {path}; {self.server.stderr}")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Start a server of COMMANDS with DEVPATCH_SUMMARY."""
    projects = []

    def start(name: str, wait=True, prepare=True, **variables: str) -> Project:
        site, command = COMMANDS[name]
        for module in (*_NEEDS[site], *_NEEDS.get(name, ())):
            if importlib.util.find_spec(module) is None:
                pytest.skip(f"{module} is not installed")
        folder = tmp_path_factory.mktemp("summary")
        directory = APPS / "cost_site" if site == "django" else APPS
        port = free_port()
        variables = {
            "DEVPATCH_SUMMARY": "1",
            "DEVPATCH_SUMMARY_LOG": str(folder / "requests.jsonl"),
            "SITE_FOLDER": str(folder),
            "DJANGO_SETTINGS_MODULE": "settings",
            **variables,
        }
        environ = clean_environment(**{key: value for key, value in variables.items() if value})
        if site == "django" and prepare:
            migrate(directory, environ)
        arguments = [argument.format(port=port) for argument in command.split()]
        server = DevServer([sys.executable, *arguments], directory, folder, port, environ)
        projects.append(server)
        server.start()
        if wait:
            server.wait_until_ready()
        return Project(server, folder / "requests.jsonl")

    yield start
    for server in projects:
        server.kill()


def migrate(directory, environ):
    for database in ("default", "other"):
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--run-syncdb", "--database", database],
            cwd=directory,
            env=environ,
            check=True,
            capture_output=True,
        )


def valid(text: str) -> dict:
    """Return the parsed line of a summary log. Check its schema."""
    return parse(text, "devpatch.features.summary", "summary.schema.json")


def timing(response) -> dict[str, str]:
    """Return the metrics of Server-Timing: by name, the rest of each."""
    headers = re.findall(r"^Server-Timing: (.*)$", response.headers, re.MULTILINE | re.IGNORECASE)
    metrics = [metric for header in headers for metric in re.split(r", (?=\w+;)", header.strip())]
    return {name: rest for name, _, rest in (metric.partition(";") for metric in metrics)}


def number_in(response) -> int:
    """Return the number that is the body of a response, which may be chunked."""
    data, body = response.body, b""
    if "transfer-encoding: chunked" not in response.headers.lower():
        return int(data)
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return int(body)
