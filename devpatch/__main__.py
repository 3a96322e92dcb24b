"""``python -m devpatch`` and ``devpatch``: print which switches are set, and what can be patched, or why not.

``devpatch summary FILE`` prints a table of the requests in a file of DEVPATCH_SUMMARY_LOG.
"""

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
    """Print the status, or run another command. Return the exit status.

    It is ``ExitStatus.REFUSED`` if a switch has an invalid value.
    """
    parser = argparse.ArgumentParser(
        prog="devpatch",
        description="Say which switches are set, and what they can do with the frameworks installed here.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--version", action="version", version=f"devpatch {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    summary = commands.add_parser(
        "summary", help="print a table of the requests in a file of DEVPATCH_SUMMARY_LOG"
    )
    summary.add_argument("file", help="the file that DEVPATCH_SUMMARY_LOG names")
    summary.add_argument("--html", metavar="OUT", help="write a page with bars and timelines too")
    options = parser.parse_args(arguments)
    if options.command == "summary":
        from .commands.summary import run

        return run(options.file, options.html)
    found = status.gather()
    _print(json.dumps(found, indent=2) if options.json else status.render(found))
    is_valid = all(switch["valid"] for switch in found["switches"])
    return 0 if is_valid else int(ExitStatus.REFUSED)


def _print(text: str) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A variable's name or value may contain any character.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe. The interpreter would write to it again when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
