"""Fixtures for all tests, and the selection and order of the tests."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path

import harness
import pytest
from harness import DevServer, clean_environment, free_port
from installing import Toolbox
from servers import MODES, Mode, select_modes


def pytest_addoption(parser):
    parser.addoption("--short", action="store_true", help="one mode per server, for the other interpreters")
    parser.addoption("--fastreload", action="store_true", help="wherever a test turns fail-safe on")
    parser.addoption(
        "--all", action="store_true", help="every variation: each mode, and each breakage of each file"
    )


@pytest.fixture
def serve(tmp_path_factory):
    """Start a server in a mode. It is killed at the end of the test if it still runs."""
    started = []

    def start(mode: Mode, wait=True, **variables: str) -> DevServer:
        port = free_port()
        server = DevServer(
            mode.command(port),
            mode.directory,
            tmp_path_factory.mktemp("server"),
            port,
            clean_environment(**{**mode.environ, **variables}),
        )
        started.append(server)
        server.start()
        return server.wait_until_ready() if wait else server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def serve_copy(serve, tmp_path_factory):
    """Start a server in a copy of its project. Return the server and the path of the application's source."""

    def start(mode: Mode, wait=True, **variables: str) -> tuple[DevServer, Path]:
        project = tmp_path_factory.mktemp("copy") / "project"
        shutil.copytree(mode.directory, project)
        server = serve(mode, wait=False, **variables)
        server.kill()
        server.directory = project
        server.start()
        if wait:
            server.wait_until_ready()
        sources = {"django": "site_under_test/views.py", "flask": "flask_site.py", "bare": "bare_site.py"}
        return server, project / sources[mode.site]

    return start


@pytest.fixture
def serve_project(tmp_path):
    """Write the files of a project and start its server. ``{port}`` in an argument stands for the port."""
    started = []

    def start(files: dict[str, str], *arguments: str, wait=True, **variables: str) -> DevServer:
        for name, text in files.items():
            path = tmp_path / "project" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        port = free_port()
        command = [sys.executable, *(argument.format(port=port) for argument in arguments)]
        server = DevServer(command, tmp_path / "project", tmp_path, port, clean_environment(**variables))
        started.append(server)
        server.start()
        return server.wait_until_ready() if wait else server

    yield start
    for server in started:
        server.kill()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def pytest_generate_tests(metafunc):
    if "mode" not in metafunc.fixturenames or {"kind", "file"}.intersection(metafunc.fixturenames):
        return
    marker = metafunc.definition.get_closest_marker("modes")
    modes = [mode for mode in MODES if marker is None or marker.kwargs["choose"](mode)]
    is_contract = metafunc.definition.get_closest_marker("contract") is not None
    core = None if marker is None else marker.kwargs.get("core")
    modes = select_modes(modes, metafunc.config, variations=is_contract, core=core)
    metafunc.parametrize("mode", modes, ids=lambda mode: mode.id)


def pytest_collection_modifyitems(config, items):
    excluded = ()
    if config.getoption("--short"):
        excluded = ("long", "packaging", "variation")
    elif not config.getoption("--all"):
        excluded = ("variation",)
    deselected = [item for item in items if any(map(item.get_closest_marker, excluded))]
    items[:] = [item for item in items if item not in deselected]
    config.hook.pytest_deselected(items=deselected)
    items[:] = order_for_workers(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def order_for_workers(items, workers):
    """Return ``items`` in an order in which each worker of pytest-xdist runs its slow tests first.

    Each worker gets an equal part of the list. If a module installs environments, one worker gets all of
    its tests.
    """
    blocks = {}
    for item in items:
        if item.get_closest_marker("packaging"):
            blocks.setdefault(item.path, []).append(item)
        elif item.get_closest_marker("slow"):
            blocks[item] = [item]
    parts = [[] for _ in range(workers)]
    for block in sorted(blocks.values(), key=len, reverse=True):
        min(parts, key=len).extend(block)
    assigned = {item for part in parts for item in part}
    others = iter([item for item in items if item not in assigned])
    size, remainder = divmod(len(items), workers)
    for number, part in enumerate(parts):
        part.extend(itertools.islice(others, max(0, size + (number < remainder) - len(part))))
    return [*itertools.chain(*parts), *others]


def pytest_configure(config):
    harness.fast_reload = config.getoption("--fastreload")
    # A shell that runs the tests in the background ignores SIGINT, and nohup SIGHUP. The servers would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    config.addinivalue_line(
        "markers",
        "modes(choose=..., core=...): run for the modes that choose accepts; without --all, core too",
    )


@pytest.fixture(scope="session")
def toolbox(tmp_path_factory):
    return Toolbox(tmp_path_factory.mktemp)


@pytest.fixture(scope="module")
def environment(toolbox):
    """An environment with devpatch and wrapt. The tests that share it do not change it."""
    environment = toolbox.environment()
    toolbox.pip(environment, "install", toolbox.artifact(".whl"))
    return environment


@pytest.fixture(scope="module")
def environment_without_wrapt(toolbox):
    environment = toolbox.environment()
    toolbox.pip(environment, "install", "--no-deps", toolbox.artifact(".whl"))
    return environment
