"""The ways to break a file, and the files of each site that the tests break."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Breakage:
    """``apply`` breaks a file's text. The answer and the terminal then show ``message``."""

    name: str
    apply: Callable[[str], str]
    message: str


def _prepend(line: str) -> Callable[[str], str]:
    return lambda text: f"{line}\n{text}"


SYNTAX_ERROR = "\ndef (\n"
_SEGFAULT = "import faulthandler; faulthandler._sigsegv()"
BREAKAGES = (
    Breakage("syntax", lambda text: text + SYNTAX_ERROR, "SyntaxError: invalid syntax"),
    Breakage("cut", lambda text: f"{text}\nx = (1,\n", "SyntaxError: '(' was never closed"),
    Breakage("null byte", lambda text: f"{text}\0", "null bytes"),
    Breakage("name", _prepend("not_defined"), "NameError: name 'not_defined' is not defined"),
    Breakage(
        "package", _prepend("import not_installed"), "ModuleNotFoundError: No module named 'not_installed'"
    ),
    Breakage("exception", _prepend("raise ValueError('broken on purpose')"), "ValueError: broken on purpose"),
    Breakage("recursion", _prepend("def f(): f()\nf()"), "RecursionError: maximum recursion depth exceeded"),
    Breakage("exit text", _prepend("import sys; sys.exit('enough' + ' of it')"), "enough of it"),
    Breakage("exit 0", _prepend("import sys; sys.exit()"), ""),
    Breakage("exit 3", _prepend("import sys; sys.exit(3)"), ""),
    Breakage("os._exit", _prepend("import os; os._exit(9)"), "the server process ended with exit status 9"),
    Breakage("segfault", _prepend(_SEGFAULT), "the server process was ended by SIGSEGV"),
    Breakage("abort", _prepend("import os; os.abort()"), "the server process was ended by SIGABRT"),
)
if sys.version_info < (
    3,
    11,
    4,
):  # There Python accepts null bytes in a script: it reads up to the first one.
    BREAKAGES = tuple(row for row in BREAKAGES if row.name != "null byte")
if sys.platform == "win32":
    BREAKAGES = tuple(row for row in BREAKAGES if row.name not in ("segfault", "abort"))

FILES = {
    "django": (
        "manage.py",
        "site_under_test/settings.py",
        "site_under_test/urls.py",
        "site_under_test/views.py",
        "site_under_test/wsgi.py",
        "site_under_test/middleware.py",
        "shop/models.py",
        "shop/apps.py",
    ),
    "flask": ("flask_site.py", "django_site/site_under_test/gauge.py"),
    "bare": ("bare_site.py", "django_site/site_under_test/gauge.py"),
}


def files_of(mode) -> tuple[str, ...]:
    """Return the files of a mode's application that a test breaks."""
    if mode.server == "daphne":
        return tuple(file.replace("wsgi", "asgi") for file in FILES[mode.site])
    return FILES[mode.site]


def repaired(text: str, version: int) -> str:
    """Return ``text`` with a version number, which the site then returns at /version/."""
    # Each version has another length, because Python compares only the size of a source file and its time,
    # in seconds, to see whether the compiled code is up to date.
    newest = f"max({version}, getattr(builtins, 'site_version', 0))"  # if several files have a version
    return f"import builtins; builtins.site_version = {newest}  {'#' * version}\n{text}"


def save(path: Path, text: str) -> None:
    """Save as many editors do: write a new file, then replace the old one with it.

    A .pyc file is valid for each source of the same size and second, so such a save waits for the next second.
    """
    if path.exists() and path.stat().st_size == len(text.encode()):
        time.sleep(max(0.0, int(path.stat().st_mtime) + 1.05 - time.time()))
    new = path.with_name(f".{path.name}.swp")
    new.write_text(text)
    new.replace(path)
