"""The commands of ``devpatch``: one module or folder each. ``devpatch.__main__`` has their table."""

from __future__ import annotations

import io
import os
import sys


def print_result(text: str) -> None:
    """Print ``text`` on stdout, whatever characters it has, also if nobody reads it to its end."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A variable's name or value may contain any character.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. The interpreter would write to it again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
