"""What devpatch says, and what it has seen others say, on stderr."""

import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

_MEMORY = 200_000  # characters: some twenty long tracebacks


def say(message: str) -> None:
    """Print one line for the developer; a closed stderr is nobody's error."""
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


class Witness:
    """Remembers the latest text on stderr, so that a traceback which the framework printed is not printed again.

    Frameworks print one or not, depending on DEBUG, LOGGING and the server, and through different
    means. What arrives at ``sys.stderr.write`` is the one thing they share.
    """

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._size = 0

    def attach(self) -> Callable[[], None]:
        """Watch the present ``sys.stderr``; returns what undoes it. A stream that can't be watched is left alone."""
        stream: Any = sys.stderr
        try:
            write = stream.write

            def witnessed(text: str) -> Any:
                self.remember(text)
                return write(text)

            stream.write = witnessed
        except Exception:
            return lambda: None

        def detach() -> None:
            if vars(stream).get("write") is witnessed:
                del stream.write

        return detach

    def remember(self, text: Any) -> None:
        """Keep ``text`` and forget the oldest beyond the limit; anything but text is ignored."""
        if not isinstance(text, str):
            return
        self._texts.append(text)
        self._size += len(text)
        while self._size > _MEMORY:
            try:
                self._size -= len(self._texts.popleft())
            except IndexError:
                break  # Another thread, or one huge text.

    def saw_traceback_of(self, error: BaseException) -> bool:
        """Whether a whole traceback of ``error`` was printed: its innermost frame, then the exception itself."""
        frames = traceback.extract_tb(error.__traceback__)
        if not frames:
            return False
        text = "".join(self._texts.copy())
        innermost = f'File "{frames[-1].filename}", line {frames[-1].lineno}, in '
        header = text.find("Traceback (most recent call last)")
        frame = text.rfind(innermost)
        last_line = "".join(traceback.format_exception_only(type(error), error)).strip()
        return 0 <= header < frame and last_line in text[frame:]
