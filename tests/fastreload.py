"""Projects with libraries of their own, and what a server with fast reload says about its standby."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from harness import DevServer, clean_environment, free_port, wait_for

EVENTS = {"DEVPATCH_FASTRELOAD": "events"}
FAST = {"DEVPATCH_FASTRELOAD": "1", "DEVPATCH_VERBOSE": "1"}
READY = "fast reload: a standby waits"
COLD = "fast reload starts cold: "

_APP = """
import os, sys
early = frozenset(sys.modules)
{head}
from werkzeug import Response, run_simple
{imports}
def app(environ, start_response):
    value = {value}
    return Response(f'{{value}}|{version}')(environ, start_response)

if __name__ == '__main__':
    run_simple('127.0.0.1', int(sys.argv[1]), app, use_reloader=True, reloader_type='stat', threaded=True,
        reloader_interval={interval})
"""


class Project:
    """An application in ``app.py``, libraries in a folder ``site-packages``, and its server.

    The answer is the value of the expression ``value``. ``early`` are the modules that were loaded before the program.
    ``interval`` are the seconds between two looks of the reloader, if nothing wakes it.
    """

    def __init__(self, folder: Path, **parts: object) -> None:
        self.folder = folder / "project"
        self.libraries = folder / "libraries" / "site-packages"
        for path in (self.folder, self.libraries):
            path.mkdir(parents=True)
        self.parts = {"head": "", "imports": "", "value": "None", "version": 0, "interval": 1, **parts}
        self.options: list[str] = []
        self.program = ["app.py"]
        self.variables = {"PYTHONPATH": str(self.libraries), "PYTHONDONTWRITEBYTECODE": ""}
        self._folder = folder
        self.standbys = 0
        self.server: DevServer | None = None

    @property
    def source(self) -> Path:
        return self.folder / "app.py"

    def library(self, name: str, text: str) -> Path:
        """Write a library with one module."""
        path = self.libraries / f"{name}.py"
        path.write_text(text)
        return path

    def save(self, **parts: object) -> None:
        """Write the application, with other parts than before."""
        self.parts.update(parts)
        text = _APP.format(**self.parts)
        new = self.source.with_suffix(".new")
        new.write_text(text)
        os.replace(new, self.source)

    def start(self, **variables: str) -> None:
        self.save()
        port = free_port()
        environ = clean_environment(**{**self.variables, **variables})
        command = [sys.executable, *self.options, *self.program, str(port)]
        self.server = DevServer(command, self.folder, self._folder, port, environ)
        self.server.start()
        self.server.wait_until_ready()

    def stop(self) -> None:
        if self.server is not None:
            self.server.kill()

    @property
    def said(self) -> str:
        assert self.server is not None
        return self.server.stderr

    def answer(self) -> str:
        assert self.server is not None
        return self.server.get("/ok/").body.decode()

    def wait_for(self, *texts: str) -> None:
        """Wait until the server has said one of ``texts``."""
        wait_for(lambda: any(text in self.said for text in texts), lambda: f"{texts}; {self.said}")

    def reload(self, **parts: object) -> str:
        """Save the next version, wait until it is served, and return its value."""
        self.save(version=int(str(self.parts["version"])) + 1, **parts)
        wait_for(lambda: self.answer().endswith(f"|{self.parts['version']}"), lambda: self.said)
        return self.answer().rpartition("|")[0]

    def wait_for_standby(self) -> None:
        """Wait until one more standby than before has imported what it may."""
        self.standbys += 1
        wait_for(lambda: self.said.count(READY) >= self.standbys, lambda: f"a standby; {self.said}")

    def restart(self, **parts: object) -> str:
        """Reload with a standby that waits, and return the value of the new worker's answer."""
        self.wait_for_standby()
        return self.reload(**parts)


def children(server: DevServer) -> list[str]:
    """Return the ids of the processes that the server's first process started."""
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    try:
        with open(path) as file:
            return file.read().split()
    except FileNotFoundError:
        return []


def quiet_second() -> None:
    """Wait for the next whole second."""
    time.sleep(1.05 - time.time() % 1)
