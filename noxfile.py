"""The matrix: the suite on one interpreter, a shorter pass on every other one that is there."""

import os

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "full", "short", "watchdog"]

TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "coverage", "build", "uv")
# Most of a test is waiting: for a server to start, or for it to end.
WORKERS = str(3 * (os.cpu_count() or 2))

# Without watchdog, which has a session of its own: Werkzeug before 3.1 takes its word that a file was read
# for a change, and it loses changes where an interpreter's folder holds more than the kernel's queue of events.
# The combinations that upstream declares: Django 6.x needs Python 3.12, django-extensions 4 Django 4.2.
# The first row holds the oldest of everything, wrapt too; the rows from 3.13 on the newest. 3.11 has `full`.
SHORT = [
    ("3.10", "4.2", "2.3", "2.3", "3.2", "~=1.16.0"),
    ("3.12", "6.0", "3.0", "3.0", "4.1", "~=2.0.0"),
    ("3.13", "6.1", "3.1", "3.1", "4.1", ">=2.1"),
    ("3.14", "6.1", "3.1", "3.1", "4.1", ">=2.1"),
    ("3.15", "6.1", "3.1", "3.1", "4.1", ">=2.1"),
]


def install(session, *more, django="5.2", werkzeug="3.1", flask="3.1", extensions="4.1", wrapt=">=2.1"):
    session.install(
        ".",
        f"django~={django}.0",
        f"werkzeug~={werkzeug}.0",
        f"flask[async]~={flask}.0",
        f"django-extensions~={extensions}.0",
        f"wrapt{wrapt}",
        *TEST_TOOLS,
        *more,
    )


def pytest(session, *arguments):
    # Not `python -m pytest`, which would test the checkout's package instead of the installed one.
    # Each worker gets its share at once, as tests/conftest.py has it, and takes of others' when it has none left.
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *arguments)


@nox.session
def lint(session):
    session.install("ruff", "mypy", "wrapt", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")


@nox.session(python="3.11")
def full(session):
    """The suite on one interpreter, with the optional parts: daphne, gunicorn, uvicorn, async Flask views.

    `nox -s full -- --all` takes three times as long: each variation of a server, each breakage of each file.
    """
    optional = ("daphne", "gunicorn", "uvicorn", "cryptography", "pyopenssl")
    browser = ("playwright", "axe-playwright-python", "jsonschema", "import-linter")
    install(session, *optional, *browser)
    pytest(session, *session.posargs)


@nox.session
@nox.parametrize("python,django,werkzeug,flask,extensions,wrapt", SHORT)
def short(session, **versions):
    """One mode per server, a few kinds of error each."""
    install(session, **versions)
    pytest(session, "--short", *session.posargs)


@nox.session(python="3.11")
def watchdog(session):
    """The reloader that watchdog brings: the contract, without edits of files."""
    install(session, "watchdog")
    suites = ("tests/test_failfast_contract.py", "tests/test_threaded.py")
    pytest(session, "--short", *suites, *session.posargs)
