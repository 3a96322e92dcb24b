"""Print to stderr, and remember what other code prints there."""

import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

_MAX_TEXT = 50_000  # characters kept of each text on stderr
_MAX_TOTAL = 500_000  # characters kept of all texts together


def say(message: str) -> None:
    """Print one line for the developer."""
    write(f"devpatch: {' '.join(message.splitlines())}\n")


def write(text: str) -> None:
    """Print a block, such as a traceback, as it is. A closed stderr is not an error."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        pass


def flush() -> None:
    """Flush both streams, before the process ends in a way that does not."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


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
