"""The table of what can be wrong with a file, and of the files of each site that can be wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Breakage:
    """``make`` turns a file's text into a broken one; ``says`` is in the answer and in the terminal."""

    name: str
    make: Callable[[str], str]
    says: str


def _head(line: str) -> Callable[[str], str]:
    return lambda text: f"{line}\n{text}"


_SEGFAULT = "import faulthandler; faulthandler._sigsegv()"
BREAKAGES = (
    Breakage("syntax", lambda text: f"{text}\ndef (\n", "SyntaxError: invalid syntax"),
    Breakage("cut", lambda text: f"{text}\nx = (1,\n", "SyntaxError: '(' was never closed"),
    Breakage("null byte", lambda text: f"{text}\0", "null bytes"),
    Breakage("name", _head("not_defined"), "NameError: name 'not_defined' is not defined"),
    Breakage(
        "package", _head("import not_installed"), "ModuleNotFoundError: No module named 'not_installed'"
    ),
    Breakage("exception", _head("raise ValueError('broken on purpose')"), "ValueError: broken on purpose"),
    Breakage("recursion", _head("def f(): f()\nf()"), "RecursionError: maximum recursion depth exceeded"),
    Breakage("exit text", _head("import sys; sys.exit('enough' + ' of it')"), "enough of it"),
    Breakage("exit 0", _head("import sys; sys.exit()"), ""),
    Breakage("exit 3", _head("import sys; sys.exit(3)"), ""),
    Breakage("os._exit", _head("import os; os._exit(9)"), "the worker ended with exit status 9"),
    Breakage("segfault", _head(_SEGFAULT), "the worker was ended by SIGSEGV"),
    Breakage("abort", _head("import os; os.abort()"), "the worker was ended by SIGABRT"),
)
if sys.version_info < (3, 11, 4):  # There a script may hold null bytes; Python reads up to them.
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


def mended(text: str, version: int) -> str:
    """Return ``text`` so that the site, once it has read it, tells this version at /version/."""
    # Each of another length: Python takes compiled code for fresh by the second of the source and its size.
    newest = f"max({version}, getattr(builtins, 'site_version', 0))"  # of several files that were mended
    return f"import builtins; builtins.site_version = {newest}  {'#' * version}\n{text}"


def save(path: Path, text: str) -> None:
    """Save as editors do that write a new file and put it in the old one's place."""
    new = path.with_name(f".{path.name}.swp")
    new.write_text(text)
    new.replace(path)
