"""``devpatch`` and ``python -m devpatch``: the table of commands. Without a command, print the status."""

from __future__ import annotations

import argparse
import shutil
import sys
from importlib import import_module

from . import __version__
from .console import ERROR, say
from .lifecycle.endings import ExitStatus
from .switches import SWITCHES, closest

# Each is a module of ``devpatch.commands``, which is imported only if the command is used. Its function
# ``main(arguments)`` returns the exit status.
COMMANDS = {
    "status": "which switches are set, and what they can do here (without a command, this one runs)",
    "doctor": "find out why a switch does not work",
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
    if name in ("-h", "--help", "--version"):
        _parser().parse_args([name])
    mistake = _mistake(name)
    if mistake is None:  # An option of the usual command.
        return _run(_USUAL, words)
    say(mistake, ERROR)
    return int(ExitStatus.REFUSED)


def _mistake(word: str) -> str | None:
    """Return what is wrong with the first word, which names no command, and what to do. None for an option."""
    flag = word.partition("=")[0]
    if flag in {switch.flag for switch in SWITCHES}:
        return f"{flag} is an option of `devpatch run`: devpatch run {word} -- COMMAND"
    if word.startswith("-"):
        return None
    meant = closest(word, COMMANDS)
    if meant is not None:
        return f"no command {word}; did you mean {meant}?"
    if shutil.which(word) is not None or word.endswith(".py"):
        program = f"python {word}" if word.endswith(".py") else word
        return (
            f"no command {word}; to run a program with switches on: devpatch run --failsafe -- {program} ..."
        )
    return f"no command {word}; `devpatch --help` lists them"


def _run(name: str, arguments: list[str]) -> int:
    return int(import_module(f"devpatch.commands.{name}").main(arguments))


def _parser() -> argparse.ArgumentParser:
    commands = "\n".join(f"  {name:<8} {what}" for name, what in COMMANDS.items())
    rows = "\n".join(f"  {switch.name:<28} {switch.help}" for switch in SWITCHES)
    parser = argparse.ArgumentParser(
        prog="devpatch",
        usage="devpatch [COMMAND] [--help] [--version]",
        description="Switches for the development server that you already run.",
        epilog=f"commands:\n{commands}\n\nswitches:\n{rows}\n\n{_EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"devpatch {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
