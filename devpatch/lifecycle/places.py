"""Find the place that a library's exception is about: the user's line with the name that the library could not use.

Frameworks import what settings and command lines name. If there is no such module, all frames are the framework's,
and none of them helps. But the message quotes the name, and the user has written it somewhere.

Limits: a name that is put together while the program runs is not found.
"""

from __future__ import annotations

import io
import os
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, NamedTuple

COMMAND_LINE, ENVIRONMENT = "<command line>", "<environment>"
_MAX_MESSAGE = 2_000  # characters of a message that are searched for names
_MAX_NAMES = 20  # that are looked for


class Place(NamedTuple):
    """A line of a file, of the command line or of the environment. Offsets are as in a SyntaxError."""

    file: str  # or COMMAND_LINE, or ENVIRONMENT
    line: int
    offset: int = 0  # where the name begins, in characters, from 1; 0 means not known
    end_offset: int = 0
    text: str | None = None  # the line, if only this one is to be shown: settings have secrets nearby


# Each function returns the file and the line that an exception of its framework names, or None.
locators: list[Callable[[BaseException], tuple[str, int] | None]] = []

# The exceptions with which a framework complains about names and values in settings.
misconfigurations: list[type[BaseException]] = []

# The environment variables in which a framework expects the name of a module.
variables: list[str] = []


def find(error: BaseException, frames: Sequence[dict[str, Any]], modules: Iterable[str]) -> Place | None:
    """Return the place that ``error`` is about, or None if that is the innermost frame of the user's own code.

    ``frames`` are those of ``failures.chain``. ``modules`` are the files of the user's modules. Never raises.
    """
    try:
        located = next((place for locate in locators if (place := locate(error))), None)
        if located is not None:
            return Place(*located)
        own = [frame["file"] for frame in reversed(frames) if frame["own"]]
        is_about_a_name = isinstance(error, (ImportError, *misconfigurations))
        if (frames and frames[-1]["own"]) or (own and not is_about_a_name):
            return None
        return _where_it_is_written(error, dict.fromkeys((*own, *modules)))
    except Exception:  # The program's own exceptions and files may fail in any way.
        return None


def _where_it_is_written(error: BaseException, files: Iterable[str]) -> Place | None:
    names = list(islice(_names_in(error), _MAX_NAMES))
    texts = {file: _text_of(file) for file in files} if names else {}
    for name in names:
        if found := _on_command_line(name) or _in_sources(name, texts) or _in_environment(name):
            return found
    return None


class _Name(NamedTuple):
    text: str
    is_module: bool = False  # Then the user may have written the name of something in it.

    def is_meant_by(self, written: str) -> bool:
        return written == self.text or (
            self.is_module and written.startswith((f"{self.text}.", f"{self.text}:"))
        )


def _names_in(error: BaseException) -> Iterator[_Name]:
    """Yield the names that the message of ``error`` quotes, the most telling ones first."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        yield _Name(error.name, is_module=True)
    message = str(error)[:_MAX_MESSAGE]
    quoted = [found[1] for found in _QUOTED.findall(message)]
    # 'Module "a.b" does not define a "c" attribute/class', "Failed to find attribute 'create' in 'app'."
    pairs = [name for a, b in pairwise(quoted) for name in (f"{a}.{b}", f"{b}:{a}")]
    # Words such as 'default' stand in too many places.
    yield from map(_Name, sorted([*pairs, *filter(_SEPARATOR.search, quoted)], key=len, reverse=True))
    if isinstance(error, tuple(misconfigurations)):
        yield from map(_Name, _SETTING.findall(message))


_QUOTED = re.compile(r"""(['"])([^\s'"]+)\1""")
_SEPARATOR = re.compile(r"[.:]")
_SETTING = re.compile(r"\b[A-Z][A-Z_]{3,}\b")
_LITERAL = re.compile(r"""\w*(['"]{3}|['"])(.*)\1""", re.DOTALL)


def _text_of(file: str) -> str:
    try:
        with tokenize.open(file) as source:
            return source.read()
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ""


def _in_sources(name: _Name, texts: dict[str, str]) -> Place | None:
    places = (_in_source(name, file, text) for file, text in texts.items() if name.text in text)
    return next(filter(None, places), None)


def _in_source(name: _Name, file: str, text: str) -> Place | None:
    """Return the first string that is the name, or the first assignment to it."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if name.is_meant_by(_written_by(token)):
                (line, start), (_line, end) = token.start, token.end
                return Place(file, line, start + 1, end + 1, text.split("\n")[line - 1])
    except (tokenize.TokenError, SyntaxError):
        pass  # The file has been broken since it was imported.
    return None


def _written_by(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.STRING and (literal := _LITERAL.fullmatch(token.string)):
        return literal[2]
    is_setting = token.type == tokenize.NAME and token.start[1] == 0 and token.string.isupper()
    return token.string if is_setting else ""


def _on_command_line(name: _Name) -> Place | None:
    for before, argument in pairwise(sys.argv):
        option, equals, value = argument.rpartition("=")
        if name.is_meant_by(value):
            prefix = f"{before} " if before.startswith("-") and not equals else option + equals
            return _in_text(COMMAND_LINE, prefix, value)
    return None


def _in_environment(name: _Name) -> Place | None:
    written = (variable for variable in variables if name.is_meant_by(os.environ.get(variable, "")))
    return next((_in_text(ENVIRONMENT, f"{variable}=", os.environ[variable]) for variable in written), None)


def _in_text(kind: str, before: str, written: str) -> Place:
    return Place(kind, 1, len(before) + 1, len(before + written) + 1, before + written)
