"""``devpatch`` and ``python -m devpatch``: the table of commands. Without a command, print the status."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

from . import __version__
from .switches import SWITCHES

# Each is a module of ``devpatch.commands``, which is imported only if the command is used. Its function
# ``main(arguments)`` returns the exit status.
COMMANDS = {
    "status": "which switches are set, and what they can do here (without a command, this one runs)",
    "doctor": "say why a switch does not work here",
    "errors": "show the errors in a file of DEVPATCH_ERROR_LOG",
    "summary": "print a table of the requests in a file of DEVPATCH_SUMMARY_LOG",
    "run": "run a command with switches on, and a second command beside it",
}
_USUAL = "status"
_EXAMPLE = """examples:
  DEVPATCH_FAILFAST=1 python manage.py runserver
  devpatch run --failfast --threaded=8 -- python manage.py runserver

`devpatch COMMAND --help` explains a command and its options."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command that ``arguments`` name. Return its exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    name = words[0] if words else _USUAL
    if name in COMMANDS:
        return _run(name, words[1:])
    if name in ("-h", "--help", "--version") or not name.startswith("-"):
        _parser().parse_args([name])
    return _run(_USUAL, words)


def _run(name: str, arguments: list[str]) -> int:
    return int(import_module(f"devpatch.commands.{name}").main(arguments))


def _parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<8} {what}" for name, what in COMMANDS.items())
    rows = "\n".join(f"  {switch.name:<28} {switch.help}" for switch in SWITCHES)
    parser = argparse.ArgumentParser(
        prog="devpatch",
        description="Switches for the development server that you already run.",
        epilog=f"commands:\n{commands}\n\nswitches:\n{rows}\n\n{_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"devpatch {__version__}")
    parser.add_argument("command", nargs="?", choices=COMMANDS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
