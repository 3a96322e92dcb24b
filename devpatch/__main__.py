"""``python -m devpatch``, also the command ``devpatch``: what is set, what can be patched, what can't and why."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys

from . import __version__
from .commands import status
from .lifecycle.endings import ExitStatus


def main(arguments: list[str] | None = None) -> int:
    """Print the status; return 0, or ``ExitStatus.REFUSED`` where a switch is invalid."""
    parser = argparse.ArgumentParser(
        prog="devpatch",
        description="Say which switches are set, and what they can do with the frameworks installed here.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--version", action="version", version=f"devpatch {__version__}")
    options = parser.parse_args(arguments)
    found = status.gather()
    _print(json.dumps(found, indent=2) if options.json else status.render(found))
    is_valid = all(switch["valid"] for switch in found["switches"])
    return 0 if is_valid else int(ExitStatus.REFUSED)


def _print(text: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # A variable's name or value may hold anything.
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; else the interpreter would try again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
