"""Print to stderr, and remember what other code prints there."""

import os
import re
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

_MAX_TEXT = 50_000  # characters kept of each text on stderr
_MAX_TOTAL = 500_000  # characters kept of all texts together


# The colours of the lines, by their weight (ECMA-48, section 8.3.117).
INFO, WARNING, ERROR, DIM = "36", "33", "31;1", "2"
# Sequences that a terminal acts on (ECMA-48, section 5.4, and operating system commands).
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x9b[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-~]"
)
# Other control characters, those that change the direction of text or can't be seen (CVE-2021-42574), and
# surrogates, which UTF-8 can't encode.
_CONTROLS = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def say(message: str, colour: str = INFO) -> None:
    """Print one line for the developer. ``colour`` is used only on a terminal."""
    line = f"devpatch: {plain(' '.join(message.splitlines()))}"
    _print(f"\x1b[{colour}m{line}\x1b[0m\n" if _is_coloured() else f"{line}\n")


def write(text: str) -> None:
    """Print a block, such as a traceback, without its control characters."""
    _print(plain(text))


def note(text: str, colour: str = DIM, highlight: Callable[[str], str] | None = None) -> None:
    """Print one line that belongs to the server's line above it.

    On a terminal it has ``colour``, or what ``highlight`` makes of it.
    """
    line = "    " + (text if text.isprintable() else plain(" ".join(text.splitlines())))
    if _is_coloured_as_before(sys.stderr):
        line = f"\x1b[{colour}m{line}\x1b[0m" if highlight is None else highlight(line)
    _print(f"{line}\n")


def _print(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        pass  # A closed stderr is not an error.


def _is_coloured() -> bool:
    return is_coloured(sys.stderr)


def is_coloured(stream: Any) -> bool:
    """Whether ``stream`` gets colours, by the rules of https://no-color.org and https://force-color.org."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    try:
        is_terminal = stream.isatty()
    except Exception:
        return False
    # An old Windows console shows the sequences as they are.
    knows_colours = os.name != "nt" or any(name in os.environ for name in ("WT_SESSION", "ANSICON", "TERM"))
    return is_terminal and knows_colours and os.environ.get("TERM") != "dumb"


@lru_cache(maxsize=1)
def _is_coloured_as_before(stream: Any) -> bool:
    """Return what ``_is_coloured`` returned first for ``stream``, for lines that each request prints."""
    return _is_coloured()


def plain(text: str) -> str:
    """Return ``text`` without the sequences of terminals, and with other control characters as code points."""
    if text.isprintable():  # None of these characters is printable.
        return text
    text = _SEQUENCES.sub("", text.replace("\r\n", "\n"))
    return _CONTROLS.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def plain_data(value: Any) -> Any:
    """Return JSON data with each string in it as ``plain`` returns it."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {plain(key): plain_data(item) for key, item in value.items()}
    return [plain_data(item) for item in value] if isinstance(value, list | tuple) else value


def shown_path(path: str) -> str:
    """Return ``path`` as people write it: relative if it is below the working directory."""
    try:
        relative = os.path.relpath(path)
    except (OSError, ValueError):  # another drive
        return path
    return path if relative.startswith(os.pardir) else relative


def flush() -> None:
    """Flush both streams, before the process ends in a way that does not."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


class StderrTee:
    """Remembers the latest text on stderr, so that devpatch does not repeat a traceback that the framework printed.

    Whether a framework prints a traceback depends on DEBUG, LOGGING and the server. There are several ways to
    print it, and all of them call ``sys.stderr.write``.
    """

    def __init__(self) -> None:
        self._texts: deque[tuple[float, str]] = deque()  # each with its time, in seconds since the epoch
        self._size = 0
        self.is_attached = False

    def attach(self) -> Callable[[], None]:
        """Watch the current ``sys.stderr``, if possible. Return a function that undoes it."""
        stream: Any = sys.stderr
        self.is_attached = True
        try:
            write = stream.write

            def write_and_keep(text: str) -> Any:
                self.keep(text)
                return write(text)

            stream.write = write_and_keep
        except Exception:
            return lambda: None

        def detach() -> None:
            self.is_attached = False
            if vars(stream).get("write") is write_and_keep:
                del stream.write

        return detach

    def keep(self, text: Any) -> None:
        """Keep the beginning of ``text`` and drop the oldest texts. Ignore objects that are not strings."""
        if not isinstance(text, str):
            return
        self._texts.append((time.time(), text[:_MAX_TEXT]))
        self._size += min(len(text), _MAX_TEXT)
        try:
            while self._size > _MAX_TOTAL:
                self._size -= len(self._texts.popleft()[1])
        except IndexError:  # Threads that write concurrently may make the count wrong.
            self._size = 0

    def has_traceback_of(self, error: BaseException, since: float) -> bool:
        """Whether a whole traceback of ``error`` was printed: its innermost frame, then the exception itself.

        ``since`` is the time of the error, in seconds since the epoch. Earlier errors in the same line do not count.
        """
        frames = traceback.extract_tb(error.__traceback__)
        if not frames:
            return False
        text = "".join(text for moment, text in self._texts.copy() if moment >= since)
        innermost = f'File "{frames[-1].filename}", line {frames[-1].lineno}, in '
        header = text.find("Traceback (most recent call last)")
        frame = text.rfind(innermost)
        # Only the first line of the message, and not all of it: a group indents the rest, and long texts are cut.
        name = "".join(traceback.format_exception_only(type(error), error)).strip().split("\n")[0][:200]
        return 0 <= header < frame and name in text[frame:]
