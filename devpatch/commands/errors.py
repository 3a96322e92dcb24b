"""``devpatch errors [FILE]``: the errors in a file of DEVPATCH_ERROR_LOG for people, the newest last."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..console import ERROR, is_coloured, plain, say, shown_path
from ..lifecycle.endings import ExitStatus
from . import print_result
from .logs import ERRORS, warn_of_left_out
from .parser import Parser

_POLL_INTERVAL = 0.2  # seconds between two looks at the file
_BOLD, _RED, _FAINT, _RESET = "\x1b[1m", "\x1b[31;1m", "\x1b[2m", "\x1b[0m"
_MAX_MESSAGE = 2000  # characters that are shown of an exception's message


def main(arguments: list[str]) -> int:
    """Print the errors. Return 0, or ``ExitStatus.REFUSED`` if the file can't be read or is of another kind."""
    parser = Parser(
        "devpatch errors",
        description=f"Print the errors in a file of {ERRORS.switch.name}, the newest last, "
        "with the lines of your own code that they went through.",
    )
    parser.add_argument(
        "file", nargs="?", help=f"the file; by default the one that {ERRORS.switch.name} names"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with the errors to come, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per line, for programs")
    options = parser.read(arguments)
    path = ERRORS.path(options.file)
    if path is None:
        parser.error(ERRORS.needed())
    try:
        return _show(path, options.follow, options.json)
    except OSError as error:
        say(ERRORS.unreadable(path, error, options.file), ERROR)
        return int(ExitStatus.REFUSED)
    except KeyboardInterrupt:
        return 0


def _show(path: str, follow: bool, as_json: bool) -> int:
    """Print the errors in the file. Return the exit status. Raises OSError."""
    number = 0
    for lines in _batches(path, follow):
        errors = [error for line in lines if (error := _parsed(line)) is not None]
        if lines and not errors and not number:
            say(ERRORS.mistaken(path, lines), ERROR)
            return int(ExitStatus.REFUSED)
        warn_of_left_out(path, len(lines) - len(errors))
        number += len(errors)
        for error in errors:
            print_result(json.dumps(_digest(error)) if as_json else _text(error, is_coloured(sys.stdout)))
    if not number and not as_json:
        print_result(f"no errors in {path}")
    return 0


def _parsed(line: str) -> dict[str, Any] | None:
    """Return the error in a line of the file, or None if it has none."""
    try:
        error: dict[str, Any] = json.loads(line)
        _digest(error)
    except (ValueError, KeyError, TypeError):
        return None
    return error


def _batches(path: str, follow: bool) -> Iterator[list[str]]:
    """Yield the lines of a file, and with ``follow`` also those to come. The file may be replaced. Raises OSError."""
    position, rest = 0, b""
    while True:
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size < position:
                    position, rest = 0, b""  # A new file.
                file.seek(position)
                data = file.read()
        except FileNotFoundError:
            if not follow:
                raise
            data = b""
        position += len(data)
        *lines, rest = (rest + data).split(b"\n")
        if not follow:
            lines.append(rest)
        yield [text for line in lines if (text := line.decode("utf-8", "replace").strip())]
        if not follow:
            return
        time.sleep(_POLL_INTERVAL)


def _digest(error: dict[str, Any]) -> dict[str, Any]:
    """Return the parts of an error that matter first. Raises KeyError, TypeError."""
    exceptions = [error["exception"], *error["causes"]] if error["exception"] else []
    return {
        **{name: error[name] for name in ("time", "kind", "server", "method", "url", "status")},
        "error": _title(exceptions[0]) if exceptions else error["ended"]["summary"],
        "frames": _places(exceptions[0]) if exceptions else [],
        "causes": [{"error": _title(cause), "frames": _places(cause)} for cause in exceptions[1:]],
    }


def _title(exception: dict[str, Any]) -> str:
    message = exception["message"][:_MAX_MESSAGE]
    return f"{exception['type']}: {message}" if message else str(exception["type"])


def _places(exception: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the frames of the user's own code, or the innermost frame if there are none."""
    frames = [frame for frame in exception["frames"] if frame["own"]] or exception["frames"][-1:]
    syntax = exception["syntax"]
    return [*frames, {**syntax, "function": None}] if syntax else frames


def _text(error: dict[str, Any], coloured: bool) -> str:
    bold, red, faint, reset = (_BOLD, _RED, _FAINT, _RESET) if coloured else ("", "", "", "")
    digest = _digest(error)
    moment = datetime.fromisoformat(digest["time"]).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if digest["kind"] == "request":
        what = " ".join(str(digest[name]) for name in ("method", "url", "status") if digest[name] is not None)
    else:
        what = "the code could not be loaded"
    server = f" ({digest['server']})" if digest["server"] else ""
    lines = [f"{faint}{moment}{reset}  {bold}{plain(what)}{reset}{faint}{server}{reset}"]
    for number, link in enumerate([digest, *digest["causes"]]):
        title = plain(link["error"]).replace("\n", "\n    ")
        lines.append(f"  {'caused by ' if number else ''}{red}{title}{reset}")
        for frame in link["frames"]:
            function = f" in {frame['function']}" if frame["function"] else ""
            lines.append(plain(f"    {shown_path(frame['file'])}:{frame['line']}{function}"))
            if frame["source"]:
                lines.append(f"      {faint}{plain(frame['source'].strip())}{reset}")
    return "\n".join(lines) + "\n"
