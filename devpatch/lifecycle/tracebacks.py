"""Walk linked exceptions, and remove devpatch's own frames from tracebacks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb
from types import TracebackType
from typing import Any

_PACKAGE = f"{Path(__file__).parent.parent}{os.sep}"
# File names of the code that starts a module or a command. A console's are "<console>" or "<stdin>".
_STARTERS = ("<frozen ", "<string>")


def linked(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error``, its causes and contexts, and the parts of exception groups, each once."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        link = todo.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            todo += [link.__cause__, link.__context__, *parts_of(link)]


def parts_of(error: BaseException) -> list[BaseException]:
    """Return the parts of an exception group (PEP 654, or its backport). Other exceptions have none."""
    try:
        parts = getattr(error, "exceptions", ())
    except Exception:
        return []
    return [part for part in parts if isinstance(part, BaseException)] if isinstance(parts, tuple) else []


def hide_own_frames(error: BaseException) -> None:
    """Remove devpatch's frames from the tracebacks of ``error`` and of all exceptions that are linked to it."""
    for link in linked(error):
        link.__traceback__ = position = _skip_own(link.__traceback__)
        while position is not None:
            position.tb_next = _skip_own(position.tb_next)
            position = position.tb_next


def _skip_own(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        traceback = traceback.tb_next
    return traceback


def module_that_raised(error: BaseException) -> str:
    """Return the name of the module whose code raised ``error``, or an empty string."""
    frames = [frame for frame, _line in walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__")) if frames else ""


def is_from_console(error: BaseException) -> bool:
    """Whether ``error`` was raised in a console within the program. The program goes on afterwards."""
    file: Any = error.filename if isinstance(error, SyntaxError) else None
    if error.__traceback__ is not None:
        file = error.__traceback__.tb_frame.f_code.co_filename
    return isinstance(file, str) and file.startswith("<") and not file.startswith(_STARTERS)
