"""The terminal of a session: wait for the Enter key, and restore the settings after a worker died."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from typing import Any

try:
    import termios
except ImportError:  # Windows
    termios = None  # type: ignore[assignment]
msvcrt: Any
try:
    import msvcrt
except ImportError:
    msvcrt = None
_ERRORS: tuple[type[Exception], ...] = (OSError, termios.error) if termios is not None else (OSError,)


class Terminal:
    """The terminal of stdin, if it is one."""

    def __init__(self) -> None:
        self._descriptor = _terminal_of(sys.stdin)
        self._attributes = self._read_attributes()

    def __bool__(self) -> bool:
        return self._descriptor is not None

    def _read_attributes(self) -> Any:
        if self._descriptor is None or termios is None:
            return None
        try:
            return termios.tcgetattr(self._descriptor)
        except _ERRORS:
            return None

    def restore(self) -> None:
        """Restore the settings from the start of the session. A debugger or a prompt may have died with echo off."""
        if (
            self._descriptor is None
            or self._attributes is None
            or self._read_attributes() == self._attributes
            or not self._is_ours()
        ):
            return
        with suppress(*_ERRORS):
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._attributes)

    def forget_input(self) -> None:
        """Discard earlier input, which was meant for the worker."""
        if self._descriptor is None or not self._is_ours():
            return
        with suppress(*_ERRORS):
            if termios is not None:
                termios.tcflush(self._descriptor, termios.TCIFLUSH)
            elif msvcrt is not None:
                while msvcrt.kbhit():
                    msvcrt.getwch()

    def wait_for_enter(self, seconds: float, observer: int | None = None) -> bool:
        """Return True as soon as Enter is pressed, False after ``seconds``, or when ``observer`` can be read.

        On Windows, the descriptor ``observer`` is looked at only after ``seconds``.
        """
        others = [] if observer is None else [observer]
        if self._descriptor is None or not self._is_ours():
            _sleep(seconds, others)
            return False
        if msvcrt is not None:
            return _wait_for_key(seconds)
        if self._descriptor not in select.select([self._descriptor, *others], [], [], seconds)[0]:
            return False
        try:
            typed = os.read(self._descriptor, 4096)
        except OSError:
            typed = b""
        if not typed:
            self._descriptor = None  # After Ctrl-D, or without its terminal, Enter can't be pressed any more.
        return bool(typed)

    def _is_ours(self) -> bool:
        # The system stops a background process that reads or changes the terminal.
        if not hasattr(os, "tcgetpgrp"):
            return True
        try:
            return self._descriptor is not None and os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False


def _terminal_of(stream: Any) -> int | None:
    try:
        descriptor: int = stream.fileno()
        return descriptor if os.isatty(descriptor) else None
    except (AttributeError, OSError, ValueError):
        return None


def _sleep(seconds: float, descriptors: list[int]) -> None:
    if descriptors:
        select.select(descriptors, [], [], seconds)
    else:
        time.sleep(seconds)


def _wait_for_key(seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        while msvcrt.kbhit():
            if msvcrt.getwch() in "\r\n":
                return True
        time.sleep(0.05)
    return False
