"""``devpatch run [SWITCHES] -- COMMAND``: run a command with switches on, in every shell and on every system.

It works without the start-up file too: see ``bootstrap/sitecustomize.py``. On POSIX the command replaces this process,
so signals, the terminal, stdin and the exit status are its own. On Windows, which can't replace a process, this one
waits and lets Ctrl-C pass.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NoReturn

from .. import switches
from ..console import ERROR, WARNING, say
from ..features.failsafe.supervisor.command_lines import address_of
from ..lifecycle.endings import ExitStatus
from . import beside, programs
from .parser import Parser

_BOOTSTRAP = str(Path(__file__).resolve().parent / "bootstrap")
# A switch that needs a value of the user's can't be in it.
PRESET = tuple(switch for switch in switches.FEATURES if switch.is_on_or_off)
# Python ignores these signals, and a command would inherit that.
_OPERATORS = ("&&", "||", "|", "&", ">", "<")  # of shells
_IGNORED_BY_PYTHON = ("SIGPIPE", "SIGXFZ", "SIGXFSZ")


def main(arguments: list[str]) -> int:
    """Run the command. Return its exit status, or that of the server if a second command runs beside it."""
    parser = _parser()
    words, command = _split(arguments)
    options = parser.read(words)
    if not command:
        parser.error("name a command, such as: devpatch run --failfast -- python manage.py runserver")
    if "--" in command and words and words[-1].endswith(f"={switches.ON}") and not shutil.which(command[0]):
        option = words[-1].partition("=")[0]
        parser.error(f"write the value of {option} as {option}={command[0]}, and -- before the command")
    environ = _environment(options)
    if environ is None:
        return int(ExitStatus.REFUSED)
    _warn_about(environ)
    path = programs.find(command, environ)
    if options.beside is None:
        return int(path) if isinstance(path, ExitStatus) else _become(path, command, environ)
    return _run_both(path, command, options, environ)


def _run_both(
    path: str | ExitStatus, command: list[str], options: argparse.Namespace, environ: dict[str, str]
) -> int:
    second = beside.words_of(options.beside)
    if not second:
        say('--with names no command; write it as one word, such as --with "pytest tests"', ERROR)
        return int(ExitStatus.REFUSED)
    if operator := next((word for word in second if word in _OPERATORS or word.endswith(";")), None):
        say(
            f"--with runs one command, without a shell; for {operator!r} use: --with 'sh -c \"...\"'", WARNING
        )
    second_path = programs.find(second, os.environ)
    for found in (path, second_path):
        if isinstance(found, ExitStatus):
            return int(found)
    url = options.url or beside.url_of(address_of(command, environ))
    if url is None:
        say(f"at which address does {command[0]!r} serve? add --url http://127.0.0.1:PORT/", ERROR)
        return int(ExitStatus.REFUSED)
    if not options.url and beside.is_taken(url):
        say(f"another program answers at {url} already; end it, or choose another port", ERROR)
        return int(ExitStatus.REFUSED)
    server = beside.Program(str(path), command, environ)
    return beside.run(server, beside.Program(str(second_path), second, dict(os.environ)), url)


def _parser() -> Parser:
    parser = Parser(
        "devpatch run",
        usage="devpatch run [SWITCH ...] [--with COMMAND [--url URL]] -- COMMAND [ARGUMENT ...]",
        description="Run a command with switches on. A switch without a value is on.",
        epilog="example: devpatch run --failfast --threaded=8 -- python manage.py runserver",
        allow_abbrev=False,
    )
    for switch in switches.SWITCHES:
        named = f"{switch.help} ({switch.name}: {switch.allowed})".replace("%", "%%")
        # _split has added a value to each of those that need none.
        parser.add_argument(
            switch.flag,
            dest=switch.name,
            help=named,
            nargs="?" if switch.is_on_or_off else None,
            metavar="=VALUE" if switch.is_on_or_off else "VALUE",
        )
    preset = " ".join(switch.flag for switch in PRESET)
    parser.add_argument("--all", action="store_true", help=f"the same as {preset}")
    parser.add_argument(
        "--with",
        dest="beside",
        metavar="COMMAND",
        help="run this too as soon as the server answers, without the switches, and end both when one of them ends",
    )
    parser.add_argument("--url", help="where the server answers, if its command does not say so")
    return parser


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the options, each switch with its value, and the command.

    The command begins after "--", or at the first word that is neither an option nor the value of one.
    """
    bare = {switch.flag for switch in switches.SWITCHES if switch.is_on_or_off}
    valued = {switch.flag for switch in switches.SWITCHES} - bare | {"--with", "--url"}
    options: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            break
        if not word.startswith("-"):
            return options, [word, *rest]
        options.append(f"{word}={switches.ON}" if word in bare else word)
        if word in valued and (value := next(rest, "--")) != "--":
            options[-1] += f"={value}"
        elif word in valued:
            break  # The value is missing.
    return options, list(rest)


def _environment(options: argparse.Namespace) -> dict[str, str] | None:
    """Return the environment of the command, or None if the value of a switch is not valid, which is printed."""
    chosen = {switch.name: switches.ON for switch in PRESET if options.all}
    given = {switch.name: getattr(options, switch.name) for switch in switches.SWITCHES}
    chosen.update({name: text for name, text in given.items() if text is not None})
    for problem in (problems := switches.read(chosen).problems):
        say(_with_options(problem), ERROR)
    if problems:
        return None
    path = os.pathsep.join(filter(None, (_BOOTSTRAP, os.environ.get("PYTHONPATH"))))
    return {**os.environ, **chosen, "PYTHONPATH": path}


def _with_options(message: str) -> str:
    """Return ``message`` with the options that the user typed, in the place of the variables."""
    flags = {switch.name: switch.flag for switch in switches.SWITCHES}
    return re.sub(rf"{switches.PREFIX}\w+", lambda found: flags.get(found[0], found[0]), message)


def _warn_about(environ: dict[str, str]) -> None:
    settings = switches.read(environ)
    if settings.disabled:
        say(f"{switches.DISABLE.name} is set, so no switch has an effect", WARNING)
    elif not any(reading.text for reading in settings.readings.values()):
        say("no switch is on; `devpatch run --help` lists them", WARNING)


def _become(path: str, command: list[str], environ: dict[str, str]) -> int:
    if os.name == "nt":
        signal.signal(signal.SIGINT, lambda *_: None)  # The console sends Ctrl-C to the command too.
        return subprocess.run([path, *command[1:]], env=environ).returncode
    try:
        _replace_process(path, command, environ)
    except OSError as error:
        meant = programs.hint(command)
        say(f"{command[0]} can't be run: {error.strerror}{f'; {meant}' if meant else ''}", ERROR)
        return int(ExitStatus.CANNOT_RUN)


def _replace_process(path: str, command: list[str], environ: dict[str, str]) -> NoReturn:
    for name in _IGNORED_BY_PYTHON:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    os.execve(path, command, environ)
