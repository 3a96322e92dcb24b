"""The project that the doctor looks at: its usual command, and where it is if it is not in this folder."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from ...console import shown_path
from ...features.failsafe.supervisor.command_lines import script_of
from .finding import Finding

MANAGE_PY = "manage.py"
# Commands that start no server. The doctor starts a command, and these would do their work.
_NO_SERVERS = {
    MANAGE_PY: frozenset(
        (
            *(
                "changepassword",
                "check",
                "clearsessions",
                "collectstatic",
                "createcachetable",
                "createsuperuser",
            ),
            *("dbshell", "dumpdata", "flush", "loaddata", "makemessages", "makemigrations", "migrate"),
            *("sendtestemail", "shell", "shell_plus", "squashmigrations", "startapp", "startproject", "test"),
        )
    ),
    "flask": frozenset(("db", "routes", "shell")),
}


def guess(folder: Path, environ: Mapping[str, str]) -> list[str]:
    """Return the usual command of the project in ``folder``, or an empty list."""
    if (folder / MANAGE_PY).is_file():
        return [sys.executable, MANAGE_PY, "runserver"]
    has_flask = environ.get("FLASK_APP") or (folder / "app.py").is_file() or _names_flask_app(folder)
    # A package of a Django project has a wsgi.py too, in which Flask would find no application.
    if has_flask or ((folder / "wsgi.py").is_file() and find_manage_py(folder) is None):
        return [sys.executable, "-m", "flask", "run", "--debug"]
    return []


def _names_flask_app(folder: Path) -> bool:
    """Whether a file from which ``flask run`` takes variables names the application."""
    for name in (".flaskenv", ".env"):
        with suppress(OSError, UnicodeDecodeError):
            if re.search(
                r"^\s*(?:export\s+)?FLASK_APP\s*=", (folder / name).read_text("utf-8"), re.MULTILINE
            ):
                return True
    return False


def find_manage_py(folder: Path) -> Path | None:
    """Return the manage.py in a folder above ``folder``, or in one directly below it. None if there is none."""
    return next((path for path in _around(folder, MANAGE_PY) if path.is_file()), None)


def _around(folder: Path, name: str) -> Iterator[Path]:
    for parent in folder.parents:
        yield parent / name
    try:
        yield from sorted(folder.glob(f"*/{name}"))
    except OSError:  # The folder can't be read.
        return


def elsewhere(folder: Path) -> Finding | None:
    """Return a finding if the Django project is in another folder, or None."""
    there = find_manage_py(folder)
    if there is None:
        return None
    return Finding(
        f"there is no {MANAGE_PY} in this folder; one is in {there.parent}",
        "a Django project's commands are run in the folder of its manage.py",
        f"cd {_shown(there.parent)}, and ask again",
    )


def no_server(words: list[str]) -> Finding | None:
    """Return a finding if ``words`` are the command line of a command that is known to start no server, or None."""
    for word, argument in pairwise(words):
        if argument in _NO_SERVERS.get(os.path.basename(word), ()):
            what = f"`{argument}` starts no server, so the doctor does not run it"
            todo = "name the command that starts your server, such as runserver or flask run"
            return Finding(what, "devpatch acts only on development servers", todo)
    return None


def missing_script(words: list[str], folder: Path) -> Finding | None:
    """Return a finding if ``words``, the command line of a Python, name a script that is not there, or None."""
    path = script_of(words)
    return None if path is None or os.path.exists(path) else _missing(words, folder, path)


def missing_manage_py(words: list[str], folder: Path) -> Finding | None:
    """Return a finding if a command line of another program, such as `uv run`, names a manage.py that is not there."""
    named = next((word for word in words if os.path.basename(word) == MANAGE_PY), None)
    return None if named is None or os.path.exists(named) else _missing(words, folder, os.path.abspath(named))


def _missing(words: list[str], folder: Path, path: str) -> Finding:
    name = os.path.basename(path)
    there = next((found for found in _around(folder, name) if found.is_file()), None)
    what = f"there is no {name} in {os.path.dirname(path)}"
    todo = f"run the command in the folder of {name}"
    if there is not None:
        what += f"; one is in {there.parent}"
        todo = f"cd {_shown(there.parent)}, and run the command there"
    return Finding(what, f"{words[0]} can't run it", todo)


def _shown(folder: Path) -> str:
    """Return ``folder`` as people type it after `cd`."""
    return shown_path(str(folder)) if Path.cwd() in folder.parents else str(folder)
