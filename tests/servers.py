"""The table of the contract suite: each server in each of its modes. A new server is a row."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field

import pytest
from harness import APPS


@dataclass(frozen=True)
class Mode:
    """A server as it is started: ``site`` names the application, ``arguments`` follow the interpreter."""

    server: str
    mode: str
    site: str
    arguments: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict, hash=False)
    # reload, threaded, debugger; variation: of another mode of its server, for the contract and for --all
    marks: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        return f"{self.server} {self.mode}".replace(" ", "-")

    @property
    def stays_single(self) -> bool:
        """testserver's in-memory database takes one connection, and handle_request() is done when it returns."""
        return self.server == "testserver" or self.mode == "handle_request"

    @property
    def reads_on(self) -> bool:
        """After a response, it reads what the client still sends of the request."""
        return self.server != "wsgiref"

    def command(self, port: int) -> list[str]:
        return [sys.executable, *(argument.format(port=port) for argument in self.arguments)]

    @property
    def directory(self):
        return APPS / "django_site" if self.site == "django" else APPS


def _has(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def _row(server, mode, site, arguments, marks="", **environ):
    return Mode(server, mode, site, tuple(arguments.split()), environ, frozenset(marks.split()))


_RUNSERVER = "manage.py runserver 127.0.0.1:{port}"
_FLASK = {"FLASK_APP": "flask_site.py"}
MODES = [
    _row("wsgiref", "serve_forever", "bare", "bare_site.py {port} wsgiref"),
    _row("wsgiref", "handle_request", "bare", "bare_site.py {port} wsgiref handle_request"),
    _row("wsgiref", "threads", "bare", "bare_site.py {port} wsgiref threaded", "threaded"),
]
if _has("django"):
    MODES += [
        _row("runserver", "reload", "django", _RUNSERVER, "reload threaded"),
        _row("runserver", "noreload", "django", _RUNSERVER + " --noreload", "threaded variation"),
        _row("runserver", "nothreading", "django", _RUNSERVER + " --nothreading", "reload variation"),
        _row("runserver", "nothreading noreload", "django", _RUNSERVER + " --nothreading --noreload"),
        _row(
            "testserver", "", "django", "manage.py testserver nothing --addrport 127.0.0.1:{port} --noinput"
        ),
    ]
if _has("werkzeug"):
    MODES += [
        _row("run_simple", "", "bare", "bare_site.py {port} werkzeug", "variation"),
        _row("run_simple", "threads", "bare", "bare_site.py {port} werkzeug threaded", "threaded"),
        _row(
            "run_simple", "reload", "bare", "bare_site.py {port} werkzeug reload threaded", "reload threaded"
        ),
        _row(
            "run_simple",
            "reload debugger",
            "bare",
            "bare_site.py {port} werkzeug reload threaded debugger",
            "reload threaded debugger variation",
        ),
    ]
if _has("flask"):
    MODES += [
        _row("app.run", "", "flask", "flask_site.py {port}", "threaded variation"),
        _row("app.run", "debug", "flask", "flask_site.py {port} debug", "reload threaded debugger"),
        _row("flask run", "", "flask", "-m flask run -p {port}", "threaded", **_FLASK),
        _row(
            "flask run",
            "debug",
            "flask",
            "-m flask run -p {port} --debug",
            "reload threaded debugger",
            **_FLASK,
        ),
    ]
if _has("django", "werkzeug", "django_extensions"):
    MODES += [
        _row(
            "runserver_plus",
            "reload",
            "django",
            "manage.py runserver_plus 127.0.0.1:{port}",
            "reload threaded debugger",
        ),
    ]
BY_ID = {mode.id: mode for mode in MODES}
ONE_PER_SERVER = {mode.server: mode.id for mode in reversed(MODES)}.values()


def _reloads(mode):
    return "reload" in mode.marks and "nothreading" not in mode.mode


RELOADS = pytest.mark.modes(choose=_reloads)
# The supervisor is one, and two reloaders report to it: Django's and Werkzeug's.
EACH_RELOADER = pytest.mark.modes(
    choose=_reloads, core=lambda mode: mode.id in ("runserver-reload", "flask-run-debug")
)


def chosen(modes, config, *, variations, core=None):
    """Return those of ``modes`` that a pass of the tests takes: one per server in the short one.

    Elsewhere variations count only if wanted, with --all, or where their server has no other mode in ``modes``;
    and of the others, without --all, those that are ``core``.
    """
    if core is not None and not config.getoption("--all"):
        modes = [mode for mode in modes if core(mode)] or modes
    if config.getoption("--short"):
        return list({mode.server: mode for mode in reversed(modes)}.values())
    if variations or config.getoption("--all"):
        return list(modes)
    plain = {mode.server for mode in modes if "variation" not in mode.marks}
    return [mode for mode in modes if "variation" not in mode.marks or mode.server not in plain]
