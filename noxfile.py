"""The test matrix: all tests on one interpreter, a short selection on every other installed one."""

import os

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["lint", "full", "short", "fastreload", "watchdog", "docs"]

TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "coverage", "build", "uv")
WORKFLOWS = (".github/workflows/ci.yml", ".github/workflows/release.yml", "examples/ci/github-actions.yml")
# A test mostly waits until a server has started or ended, so there are more workers than CPUs.
WORKERS = str(3 * (os.cpu_count() or 2))

# Combinations that the projects support. Django 6.x needs Python 3.12, django-extensions 4 needs Django 4.2.
# The first row has the oldest version of everything, also of wrapt. The rows from 3.13 on have the newest.
# Python 3.11 has the session `full`.
#
# watchdog has its own session, for two reasons. Werkzeug before 3.1 reloads when watchdog reports that a file
# was read. And watchdog loses changes if an interpreter's folder has more entries than the kernel's queue.
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
    # Not `python -m pytest`, because that tests the package of the checkout instead of the installed one.
    # Each worker gets its part at the start, in the order of tests/conftest.py. When a worker has finished
    # its part, it takes tests from others.
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *arguments)


@nox.session
def lint(session):
    session.install("ruff", "mypy", "wrapt", "import-linter", "check-jsonschema", "proselint>=0.16")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("python", "tests/check_prose.py")
    session.run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


@nox.session(python="3.11")
def full(session):
    """Run all tests on one interpreter, with the optional packages: daphne, gunicorn, uvicorn and others.

    `nox -s full -- --all` takes three times as long. It runs each variation of a server, and each breakage of
    each file.
    """
    optional = (
        "daphne",
        "gunicorn",
        "uvicorn",
        "hypercorn",
        "waitress",
        "cryptography",
        "pyopenssl",
        "python-dotenv",
    )
    optional += ("flask-sqlalchemy", "flask-caching", "psycopg[binary]", "watchfiles")
    optional += ("django-debug-toolbar", "flask-debugtoolbar")
    tracing = ("django", "flask", "sqlite3", "sqlalchemy")
    optional += ("opentelemetry-sdk", *(f"opentelemetry-instrumentation-{name}" for name in tracing))
    optional += ("channels", "djangorestframework", "ipython", "ipdb", "pygments", "debugpy", "dash")
    browser = ("playwright", "axe-playwright-python", "jsonschema", "import-linter")
    install(session, *optional, *browser)
    pytest(session, *session.posargs)


@nox.session
@nox.parametrize("python,django,werkzeug,flask,extensions,wrapt", SHORT)
def short(session, **versions):
    """Run the tests for one mode per server and a few kinds of error."""
    install(session, **versions)
    pytest(session, "--short", *session.posargs)


@nox.session(python="3.11")
def fastreload(session):
    """Run the contract of fail-safe with fast reload."""
    install(session, "watchfiles")
    files = ("tests/test_failsafe.py", "tests/test_failsafe_session.py", "tests/test_failsafe_connections.py")
    pytest(session, "--fastreload", *files, *session.posargs)


@nox.session(python="3.11")
def watchdog(session):
    """Run the contract with the reloader of watchdog, without edits of files. Fail-safe avoids watchdog 7."""
    install(session, "watchdog>=7")
    files = ("tests/test_failfast_contract.py", "tests/test_threaded.py", "tests/test_failsafe_watchdog.py")
    pytest(session, "--short", *files, *session.posargs)


@nox.session(python="3.11")
def docs(session):
    """Build the site, with warnings as errors, and check its links and its transcripts."""
    install(session, "mkdocs-material", "gunicorn", "watchfiles")
    pytest(session, "tests/test_docs.py", *session.posargs)
