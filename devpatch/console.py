"""What devpatch prints on stderr, and what it has seen others print there."""

import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

_LONGEST = 50_000  # characters that are kept of each text on stderr
_MOST = 500_000  # characters that are kept of all the latest texts


def say(message: str) -> None:
    """Print one line for the developer. A closed stderr is not an error."""
    line = " ".join(message.splitlines())
    try:
        sys.stderr.write(f"devpatch: {line}\n")
        sys.stderr.flush()
    except Exception:
        pass


def write(text: str) -> None:
    """Print a block, such as a traceback, as it is."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except Exception:
        pass


class StderrTee:
    """Remembers the latest text on stderr, so that a traceback which the framework printed is not printed again.

    Whether frameworks print one depends on DEBUG, LOGGING and the server, and they use different
    means. All of them end in ``sys.stderr.write``.
    """

    def __init__(self) -> None:
        self._texts: deque[tuple[float, str]] = deque()  # each with its time, in seconds since the epoch
        self._size = 0

    def attach(self) -> Callable[[], None]:
        """Watch the present ``sys.stderr``. Return a function that undoes it. Some streams can't be watched."""
        stream: Any = sys.stderr
        try:
            write = stream.write

            def write_and_keep(text: str) -> Any:
                self.keep(text)
                return write(text)

            stream.write = write_and_keep
        except Exception:
            return lambda: None

        def detach() -> None:
            if vars(stream).get("write") is write_and_keep:
                del stream.write

        return detach

    def keep(self, text: Any) -> None:
        """Keep the beginning of ``text`` and drop the oldest texts. Anything but text is ignored."""
        if not isinstance(text, str):
            return
        self._texts.append((time.time(), text[:_LONGEST]))
        self._size += min(len(text), _LONGEST)
        try:
            while self._size > _MOST:
                self._size -= len(self._texts.popleft()[1])
        except IndexError:  # Threads that write at the same time may count wrong.
            self._size = 0

    def has_traceback_of(self, error: BaseException, since: float) -> bool:
        """Whether a whole traceback of ``error`` was printed: its innermost frame, then the exception itself.

        ``since`` is the time of the error, in seconds since the epoch. Earlier errors of the same line do not count.
        """
        frames = traceback.extract_tb(error.__traceback__)
        if not frames:
            return False
        text = "".join(text for moment, text in self._texts.copy() if moment >= since)
        innermost = f'File "{frames[-1].filename}", line {frames[-1].lineno}, in '
        header = text.find("Traceback (most recent call last)")
        frame = text.rfind(innermost)
        # The first line of the last part: further lines of a group are indented, and a long one is cut.
        name = "".join(traceback.format_exception_only(type(error), error)).strip().split("\n")[0][:200]
        return 0 <= header < frame and name in text[frame:]
