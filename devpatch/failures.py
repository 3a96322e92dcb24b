"""What is known of a failed load, as the worker describes it to its supervisor."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any

from .requests import without_our_frames

_LONGEST = 200_000  # characters of a traceback's text, of which the middle is left out


def describe(error: BaseException) -> dict[str, Any]:
    """Return the text of ``error`` and the files that it may have come from, fit for JSON."""
    without_our_frames(error)
    return {
        "text": _shortened("".join(traceback.format_exception(error))),
        "summary": _summary(error),
        "files": sorted(_files_of(error)),
        "modules": sorted(_own_modules()),
        "paths": [os.path.abspath(path) for path in sys.path if isinstance(path, str)],
    }


def _summary(error: BaseException) -> str:
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST:
        return text
    half = _LONGEST // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def _files_of(error: BaseException) -> set[str]:
    """Return the files of all the frames, of causes and contexts too, and of a SyntaxError."""
    files: set[str] = set()
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        link = todo.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        files.update(frame.f_code.co_filename for frame, _line in traceback.walk_tb(link.__traceback__))
        if isinstance(link, SyntaxError) and isinstance(link.filename, str):
            files.add(link.filename)
        todo += [link.__cause__, link.__context__]
    return {os.path.abspath(name) for name in files if not name.startswith("<")}


def _own_modules() -> set[str]:
    """Return the files of the imported modules that belong to no installation of Python or of a package."""
    names = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {os.path.abspath(name) for name in names if isinstance(name, str) and is_own(name)}


def is_own(file: str) -> bool:
    """Whether ``file`` is the user's own code, and not of the standard library or of an installed package."""
    if file.startswith("<") or file.startswith(_STANDARD_LIBRARY):
        return False
    return not _PACKAGE_FOLDERS.intersection(Path(file).parts)


_STANDARD_LIBRARY = tuple(
    os.path.join(sysconfig.get_path(name), "")
    for name in ("stdlib", "platstdlib")
    if sysconfig.get_path(name)
)
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
