"""Describe exceptions as JSON data, for the error page, which another process renders, and for the error log.

The data contains exceptions, file names, lines and source, but no local variables, settings or environment, except
a variable that names a module which is not there.
"""

from __future__ import annotations

import itertools
import linecache
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import places
from .tracebacks import hide_own_frames, linked, parts_of

_MAX_TEXT = 200_000  # characters of a traceback; the middle of a longer one is left out
_MAX_MESSAGE = 10_000  # characters
_MAX_LINE = 500  # characters of a source line
_CONTEXT_LINES = 5  # source lines shown before and after a line
_MAX_FRAMES = 100  # of each exception, half of them from each end
_MAX_LINKS = 20  # exceptions in a chain
_MAX_PARTS = 20  # exceptions in a group
_MAX_EXCEPTIONS = 60  # in all chains and groups together


class Problem(NamedTuple):
    """One of several problems that an exception reports, such as a failed system check."""

    id: str  # such as "fields.E130"; may be empty
    message: str
    hint: str  # may be empty
    object: str  # what it complains about, such as "shop.Item.price"; may be empty
    file: str | None  # the file of that object, if it is known
    line: int


# Each function returns the problems that an exception of its framework reports, or an empty list.
explanations: list[Callable[[BaseException], list[Problem]]] = []


# Each function returns the exception that an exception of its framework only repeats, or None.
unwrappers: list[Callable[[BaseException], BaseException | None]] = []


def describe(error: BaseException) -> dict[str, Any]:
    """Return the traceback, summary and chain of ``error``, and the files and paths that may hold its cause."""
    error = next((inner for unwrap in unwrappers if (inner := unwrap(error))), error)
    hide_own_frames(error)
    links = _Describer(_CONTEXT_LINES, finds_places=True).chain(error)
    return {
        "text": _shortened(_traceback_of(error), _MAX_TEXT),
        "summary": _summary(principal(links)),
        "chain": links,
        "files": sorted(_files_of(error)),
        "modules": sorted(own_modules()),
        "paths": [os.path.abspath(path) for path in sys.path if isinstance(path, str)],
    }


def principal(links: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the exception in a chain that tells the user most.

    It is the last one if the user's own line raised it. Otherwise a framework may have wrapped the exception that
    matters in its own: then it is the root of its direct causes of which a place is known. Otherwise it is the last
    one that passed through the user's code.
    """
    if not _is_from_own_line(links[-1]):
        causes = itertools.takewhile(lambda link: link["leads_to"] in (None, "cause"), links[::-1])
        known = [link for link in causes if link["place"] or _is_from_own_line(link)]
        if known:
            return known[-1]
    for link in links[::-1]:
        if _is_from_own_line(link) or any(frame["own"] for frame in link["frames"]):
            return link
    return links[-1]


def _is_from_own_line(link: dict[str, Any]) -> bool:
    frames = link["frames"]
    return bool(link["problems"] or link["syntax"] or (frames and frames[-1]["own"]))


def title_of(link: dict[str, Any]) -> str:
    """Return the heading of an exception: its message, its type if it has none, or the call of ``sys.exit``."""
    message = str(link["message"])
    if link["type"] == "SystemExit" and (not message or message.lstrip("-").isdigit()):
        return f"sys.exit({message})"
    return message or str(link["type"])


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # The traceback module can't format every exception.
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{frames}{_name_of(type(error))}: {_text_of(error)}\n"


def _summary(link: dict[str, Any]) -> str:
    if problems := link["problems"]:
        return f"{len(problems)} system check{'s' if len(problems) > 1 else ''} failed"
    message = " ".join(link["message"].split())
    return _shortened(f"{link['type']}: {message}" if message else str(link["type"]), 1000)


def _name_of(kind: type) -> str:
    try:
        module, name = kind.__module__, kind.__qualname__
        return str(name if module in ("builtins", "__main__") else f"{module}.{name}")
    except Exception:  # A metaclass may do anything.
        return object.__repr__(kind)


def _text_of(thing: object) -> str:
    try:
        return _shortened(str(thing), _MAX_MESSAGE)
    except BaseException:
        return f"<{_name_of(type(thing))} whose text could not be made>"


def _shortened(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def chain(error: BaseException, around: int = _CONTEXT_LINES) -> list[dict[str, Any]]:
    """Return the exceptions in the order in which Python prints them, each with its relation to the next one.

    Each frame gets ``around`` source lines before and after its own line. Exceptions, frames and parts beyond a
    limit are left out and counted.
    """
    return _Describer(around).chain(error)


def bare(error: BaseException) -> dict[str, Any]:
    """Describe an exception of which only the type can be read, as one link of a ``chain``."""
    (empty,) = chain(Exception())
    return {**empty, "type": _name_of(type(error))}


class _Describer:
    """Describes an exception and those that are linked to it, each once, up to a limit."""

    def __init__(self, around: int, *, finds_places: bool = False) -> None:
        self._around = around
        self._finds_places = finds_places  # That reads files, so it is not done for each error of a request.
        self._seen: set[int] = set()

    def chain(self, error: BaseException) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = []
        relation: str | None = None
        link: BaseException | None = error
        left_out = 0
        while link is not None and id(link) not in self._seen:
            is_shown = len(links) < _MAX_LINKS and len(self._seen) < _MAX_EXCEPTIONS
            self._seen.add(id(link))
            if is_shown:
                links.insert(0, {**self._one(link), "leads_to": relation, "earlier_left_out": 0})
            else:
                left_out += 1
            if link.__cause__ is not None:
                relation, link = "cause", link.__cause__
            else:
                relation, link = "context", None if link.__suppress_context__ else link.__context__
        if links:
            links[0]["earlier_left_out"] = left_out
        return links

    def _one(self, error: BaseException) -> dict[str, Any]:
        syntax = _syntax(error, self._around) if isinstance(error, SyntaxError) else None
        frames = _frames(error, self._around)
        left_out = max(len(frames) - _MAX_FRAMES, 0)
        if left_out:
            del frames[_MAX_FRAMES // 2 : -_MAX_FRAMES // 2]
        parts = parts_of(error)
        described = [links for part in parts[:_MAX_PARTS] if (links := self.chain(part))]
        place = {"place": _place(error, frames, self._around)} if self._finds_places else {}
        return {
            **place,
            "type": _name_of(type(error)),
            "message": _text_of(error.msg) if syntax and isinstance(error, SyntaxError) else _text_of(error),
            "notes": _notes(error),
            "frames": frames,
            "frames_left_out": left_out,
            "problems": _problems(error, self._around),
            "syntax": syntax,
            "parts": described,
            "parts_left_out": len(parts) - len(described),
        }


def _place(error: BaseException, frames: list[dict[str, Any]], around: int) -> dict[str, Any] | None:
    """Return the line that ``error`` is about, if no frame is at it, in the form of the position of a SyntaxError."""
    place = places.find(error, frames, own_modules())
    if place is None:
        return None
    text = place.text
    source = _source(place.file, place.line, around) if text is None else [(place.line, text[:_MAX_LINE])]
    return {
        "file": place.file,
        "line": place.line,
        "offset": place.offset,
        "end_offset": place.end_offset,
        "own": text is not None or is_own(place.file),
        "source": source,
    }


def _notes(error: BaseException) -> list[str]:
    try:
        notes = getattr(error, "__notes__", ())
        notes = list(notes) if isinstance(notes, list | tuple) else [notes]
    except BaseException:
        return []
    return [_text_of(note) for note in notes[:_MAX_LINKS]]


def _problems(error: BaseException, around: int) -> list[dict[str, Any]]:
    try:
        problems = [problem for explain in explanations for problem in explain(error)]
    except Exception:  # The framework's objects may fail in any way.
        return []
    return [
        {
            **{name: _text_of(getattr(problem, name)) for name in ("id", "message", "hint", "object")},
            "place": _place_of_problem(problem, around),
        }
        for problem in problems[:_MAX_PARTS]
    ]


def _place_of_problem(problem: Problem, around: int) -> dict[str, Any] | None:
    if problem.file is None:
        return None
    source = _source(problem.file, problem.line, around)
    return {"file": problem.file, "line": problem.line, "own": is_own(problem.file), "source": source}


def _frames(error: BaseException, around: int) -> list[dict[str, Any]]:
    return [
        {
            "file": frame.f_code.co_filename,
            "line": line or 0,
            "function": frame.f_code.co_name,
            "own": is_own(frame.f_code.co_filename),
            "source": _source(frame.f_code.co_filename, line or 0, around, frame.f_globals),
        }
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not frame.f_code.co_filename.startswith("<frozen importlib")
    ]


def _source(file: str, line: int, around: int, module: dict[str, Any] | None = None) -> list[tuple[int, str]]:
    """Return the lines around ``line`` with their numbers."""
    try:
        linecache.checkcache(file)
        lines = linecache.getlines(file, module)
    except Exception:  # The file name is not valid, or the program's own loader fails.
        return []
    first = max(line - around, 1)
    shown = lines[first - 1 : line + around]
    return [(number, text.rstrip("\n")[:_MAX_LINE]) for number, text in enumerate(shown, start=first)]


def _syntax(error: SyntaxError, around: int) -> dict[str, Any] | None:
    """Return the position of a SyntaxError. Offsets are in characters, from 1; 0 means not known.

    Return None if it has no line. The program itself may have raised it.
    """
    file, line, text = error.filename, error.lineno, error.text
    if not isinstance(file, str) or not isinstance(line, int) or line < 1:
        return None
    source = _source(file, line, around)
    shown = next((content for number, content in source if number == line), None)
    if shown is None and isinstance(text, str):
        shown = text.rstrip("\n")[:_MAX_LINE]
        source = [(line, shown)]
    offset, end = error.offset, getattr(error, "end_offset", None)
    # For an error in an f-string, Python may count in another text than the line.
    is_of_line = isinstance(text, str) and shown is not None and text.strip() == shown.strip()
    if not is_of_line or not isinstance(offset, int) or not 0 < offset <= len(shown or "") + 1:
        offset, end = 0, 0
    same_line = getattr(error, "end_lineno", None) in (None, line)
    return {
        "file": file,
        "line": line,
        "offset": offset,
        "end_offset": end if isinstance(end, int) and end > offset and same_line else 0,
        "own": is_own(file),
        "source": source,
    }


def _files_of(error: BaseException) -> set[str]:
    """Return the files of all frames, including those of linked exceptions, and of SyntaxErrors."""
    files: set[str] = set()
    for link in linked(error):
        files.update(place["file"] for problem in _problems(link, 0) if (place := problem["place"]))
        files.update(frame.f_code.co_filename for frame, _line in traceback.walk_tb(link.__traceback__))
        if isinstance(link, SyntaxError) and isinstance(link.filename, str):
            files.add(link.filename)
    return {os.path.abspath(name) for name in files if not name.startswith("<")}


def own_modules() -> list[str]:
    """Return the files of the imported modules that are the user's own code, in the order of their imports."""
    names = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    own = (os.path.abspath(name) for name in names if isinstance(name, str) and is_own(name))
    return list(dict.fromkeys(own))


def is_own(file: str) -> bool:
    """Whether ``file`` is the user's own code: not the standard library, an installed package or devpatch."""
    if not file or file.startswith("<") or file.startswith(_NOT_OWN):
        return False
    # A worker asks this of each module before it serves. Most are libraries, and making a Path takes 3 µs.
    if any(folder in file for folder in _INSIDE_PACKAGES):
        return False
    return not _PACKAGE_FOLDERS.intersection(Path(file).parts)


_NOT_OWN = (
    *(os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib")),
    os.path.join(os.path.dirname(os.path.dirname(__file__)), ""),
)
_PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
_INSIDE_PACKAGES = tuple(f"{os.sep}{folder}{os.sep}" for folder in _PACKAGE_FOLDERS)
