"""`run.py demo`: it tells what happens in the order in which it happens, and fails loudly."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from harness import clean_environment
from installing import REPOSITORY

pytestmark = pytest.mark.long
DEMO_TIMEOUT = 300.0  # seconds
STEPS = (
    "$ DEVPATCH_FAILFAST=1 python manage.py runserver",
    "devpatch: fail-fast (exit 1)",
    "> GET /results/",
    "< 500: ZeroDivisionError at /results/",
    "devpatch: fail-fast: the server stops with exit status 1",
    "$ echo $?\n1\n",
    "$ DEVPATCH_FAILSAFE=1 python manage.py runserver",
    "> GET /\n",
    "< 200: Hello from the polls.",
    "is saved with a mistake",
    "waiting for a change",
    "> GET /\n",
    "< 500: SyntaxError: invalid syntax",
    "is repaired",
    "starting again",
    "> GET /\n",
    "< 200: Hello from the polls.",
    "What to try next",
)


def demo(*arguments, python=sys.executable):
    command = [python, str(REPOSITORY / "examples" / "demo.py"), *arguments]
    return subprocess.run(
        command,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEMO_TIMEOUT,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(autouse=True)
def _django():
    pytest.importorskip("django")


def test_each_step_is_there_once_and_in_order():
    before = subprocess.run(
        ["git", "status", "--short"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout
    result = demo()
    assert (result.returncode, result.stderr) == (0, "")
    position = 0
    for step in STEPS:
        assert step in result.stdout[position:], step
        position = result.stdout.index(step, position) + len(step)
    assert result.stdout.count("> GET /") == 4
    assert result.stdout.count('"GET /') == 4
    after = subprocess.run(
        ["git", "status", "--short"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout
    assert after == before


def test_a_port_that_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = demo(str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "port is already in use" in result.stdout
    assert "the demo failed: " in result.stderr
    assert "What to try next" not in result.stdout


def old_pythons():
    """Return the paths of interpreters that are too old, if some are here."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = [*root.glob("versions/2.*/bin/python"), *root.glob("versions/3.[0-9].*/bin/python")]
    return found + [
        Path(p) for name in ("python2", "python3.8") if (p := shutil.which(name)) and "shims" not in p
    ]


@pytest.mark.parametrize("command", ["demo", "tests"])
def test_an_interpreter_that_is_too_old(command):
    """One line, no traceback."""
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no old Python")
    for python in pythons:
        words = [python, REPOSITORY / "run.py", command]
        result = subprocess.run(words, capture_output=True, text=True, timeout=DEMO_TIMEOUT)
        assert result.returncode == 1
        assert result.stdout == ""
        assert result.stderr.startswith("run.py needs Python 3.10 or later; this is Python ")
        assert result.stderr.count("\n") == 1
