"""The table of servers, each in each of its modes. To test a new server, add a row."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass, field

import pytest
from harness import APPS


@dataclass(frozen=True)
class Mode:
    """A server and how it is started: ``site`` is the application, ``arguments`` are those for Python."""

    server: str
    mode: str
    site: str
    arguments: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict, hash=False)
    # reload, threaded, debugger, variation. A variation is much like another mode of its server, so only the
    # contract and --all run it.
    marks: frozenset[str] = frozenset()

    @property
    def id(self) -> str:
        return f"{self.server} {self.mode}".replace(" ", "-")

    @property
    def always_one_at_a_time(self) -> bool:
        """Whether DEVPATCH_THREADED has no effect.

        testserver's database in memory allows one connection. handle_request() returns after one request.
        """
        return self.server == "testserver" or self.mode == "handle_request"

    @property
    def takes_threads(self) -> bool:
        """Whether DEVPATCH_THREADED may have an effect. Daphne serves in an event loop."""
        return not self.always_one_at_a_time and self.server != "daphne"

    @property
    def drains_connections(self) -> bool:
        """Whether the server reads the rest of a request after the response."""
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
if _has("django", "daphne"):
    _DAPHNE = {"SITE_DAPHNE": "1"}
    MODES += [
        _row("daphne", "reload", "django", _RUNSERVER, "reload threaded", **_DAPHNE),
        _row("daphne", "noreload", "django", _RUNSERVER + " --noreload", "threaded", **_DAPHNE),
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


RELOADING_MODES = pytest.mark.modes(choose=_reloads)
# There is one supervisor, and two reloaders report to it: Django's and Werkzeug's.
EACH_RELOADER = pytest.mark.modes(
    choose=_reloads, core=lambda mode: mode.id in ("runserver-reload", "flask-run-debug")
)


def select_modes(modes, config, *, variations, core=None):
    """Return the modes that a test runs for.

    With --short this is one mode per server, with --all it is every mode. Otherwise it is the modes that
    ``core`` accepts. Variations are left out, unless the test wants ``variations`` or the server has no other
    mode in ``modes``.
    """
    if core is not None and not config.getoption("--all"):
        modes = [mode for mode in modes if core(mode)] or modes
    if config.getoption("--short"):
        return list({mode.server: mode for mode in reversed(modes)}.values())
    if variations or config.getoption("--all"):
        return list(modes)
    covered = {mode.server for mode in modes if "variation" not in mode.marks}
    return [mode for mode in modes if "variation" not in mode.marks or mode.server not in covered]
