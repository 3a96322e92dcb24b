"""Recognise the command line of a development server with a reloader, and find its address.

The code is broken, so it is not run. Only the command line of Python (``sys.orig_argv``), the environment and the
text of the script are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int, bool]  # host, port, whether it is IPv6

_DJANGO_SCRIPTS = ("manage.py", "django-admin", "django-admin.py", "django-admin.exe")
_FLASK_SCRIPTS = ("flask", "flask.exe")
_RUNSERVERS = ("runserver", "runserver_plus")
_NO_RELOADER = frozenset({"--noreload", "-h", "--help", "--version"})
_ADDRPORT = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\s]+):)?(?P<port>\d+)")
_DJANGO_VALUES = frozenset(
    {"--settings", "--pythonpath", "--verbosity", "-v"}
    | {"--extra-file", "--exclude-pattern", "--reloader-interval", "--reloader-type", "--print-sql-location"}
    | {"--http_timeout", "--websocket_handshake_timeout"}  # daphne's
    | {"--websocket-max-message-size", "--websocket-max-frame-size"}
)
# Options of `flask run` and its group that take a value of their own.
_FLASK_VALUES = frozenset(
    {"--app", "-A", "--env-file", "-e", "--host", "-h", "--port", "-p", "--cert", "--key"}
    | {"--extra-files", "--exclude-patterns"}
)
# A string or a comment. One pattern matches both, because each may contain what looks like the other.
_STRING = re.compile(
    r"(?s)(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|\#[^\n]*)"
)
_NAMES_A_SERVER = re.compile(r"(?m)^\s*(from|import)\s+(flask|werkzeug)\b")
_RUNS_APP = re.compile(r"(?!subprocess\b|asyncio\b)\b\w+(\(\))?\.run\s*\(")
_RUNS_SIMPLE = re.compile(r"\brun_simple\s*\(")
_ON = r"\s*=\s*(?!False|0|None|=)"
_DEBUG = re.compile(rf"\b(debug|use_reloader){_ON}")
_RELOADER = re.compile(rf"\buse_reloader{_ON}")
_SETS_DEBUG = re.compile(rf"\.debug{_ON}|\bDEBUG(['\"]\s*\])?{_ON}")
_NAMES_DEBUG = re.compile(rf"\b(debug|use_reloader)(['\"]\s*:\s*(?!False|0|None)|{_ON})")
_MAX_SCRIPT = 1_000_000  # bytes that are read of a script
_MODULE = re.compile("-[bBdEiIOqsSuvx]*m")
_TRUE = ("1", "true", "yes", "on", "t", "y")


@dataclass(frozen=True)
class Command:
    """A development server's command: its name, its address (None: not known), and the script that runs, if any."""

    server: str
    address: Address | None = None
    script: str | None = None


def recognise(
    argv: Sequence[str], environ: Mapping[str, str], main_file: str | None = None
) -> Command | None:
    """Return the reloading server that ``argv`` starts, or None for a command that does not start one.

    For any other script or module, return a command with that ``script``: see ``starts_a_server``. ``main_file`` is
    the file of the main module, for ``python -m``.
    """
    target, arguments = _split(argv[1:])
    name = os.path.basename(target)
    if target in ("-m django", "-m django.__main__", "-m manage") or name in _DJANGO_SCRIPTS:
        return _django(arguments)
    if target in ("-m flask", "-m flask.__main__") or name in _FLASK_SCRIPTS:
        return _flask(arguments, environ)
    if target.startswith("-m "):
        return Command("the module", script=main_file) if main_file else None
    return Command("the script", script=target) if target else None


def script_of(command: Sequence[Any]) -> str | None:
    """Return the path of the script that an interpreter's command runs, or None for ``-m`` and ``-c``."""
    target, _arguments = _split([str(part) for part in command[1:]])
    return os.path.abspath(target) if target and not target.startswith("-m ") else None


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return what Python runs, a script or "-m module", and its arguments."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if _MODULE.fullmatch(word) and rest:
            return f"-m {rest.pop(0)}", rest
        if word == "-c":
            return "", rest
        if word in ("-W", "-X"):
            rest[:1] = []
        elif not word.startswith("-"):
            return word, rest
    return "", []


def _django(arguments: list[str]) -> Command | None:
    if not arguments or arguments[0] not in _RUNSERVERS or not _NO_RELOADER.isdisjoint(arguments):
        return None
    return Command(arguments[0], _django_address(arguments))


def _django_address(arguments: list[str]) -> Address | None:
    uses_tls = any(word.startswith(("--cert", "--key-file")) for word in arguments)
    ipv6 = "-6" in arguments or "--ipv6" in arguments
    found = _ADDRPORT.fullmatch(next(_positional(arguments[1:]), "8000"))
    if found is None or uses_tls:
        return None
    host = found["host"] or ("::1" if ipv6 else "127.0.0.1")
    return host.strip("[]"), int(found["port"]), ipv6 or ":" in host


def _positional(words: list[str]) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        if word in _DJANGO_VALUES:
            next(rest, None)
        elif not word.startswith("-"):
            yield word


def _flask(arguments: list[str], environ: Mapping[str, str]) -> Command | None:
    options, flags, words = _flask_options(arguments)
    debug = environ.get("FLASK_DEBUG", "").lower() in _TRUE
    debug = ("--debug" in flags or debug) and "--no-debug" not in flags
    reloads = ("--reload" in flags or debug) and "--no-reload" not in flags
    if words[:1] != ["run"] or not reloads or "--help" in flags:
        return None
    return Command("flask run", _flask_address(options, environ))


def _flask_options(arguments: list[str]) -> tuple[dict[str, str], list[str], list[str]]:
    """Return the options with their values, the flags, and the other words."""
    options: dict[str, str] = {}
    flags: list[str] = []
    words: list[str] = []
    rest = list(arguments)
    while rest:
        name, is_given, value = rest.pop(0).partition("=")
        if name[:2] in ("-p", "-h", "-A", "-e") and name[2:]:  # -p8000
            options[name[:2]] = name[2:]
        elif name in _FLASK_VALUES:
            options[name] = value if is_given else (rest.pop(0) if rest else "")
        elif name.startswith("-"):
            flags.append(name)
        else:
            words.append(name)
    return options, flags, words


def _flask_address(options: Mapping[str, str], environ: Mapping[str, str]) -> Address | None:
    uses_tls = "--cert" in options or environ.get("FLASK_RUN_CERT")
    host = options.get("--host") or options.get("-h") or environ.get("FLASK_RUN_HOST") or "127.0.0.1"
    port = options.get("--port") or options.get("-p") or environ.get("FLASK_RUN_PORT") or "5000"
    if uses_tls or not (port.isascii() and port.isdigit()):
        return None
    return host, int(port), ":" in host


def address_of(words: Sequence[str], environ: Mapping[str, str]) -> Address | None:
    """Return the address of the server that a shell's command starts, with or without a reloader, or None.

    Other words may come first, such as ``uv run``.
    """
    for number, word in enumerate(words):
        name, arguments = os.path.basename(word), list(words[number + 1 :])
        if name in _DJANGO_SCRIPTS or word == "django":
            return _django_address(arguments) if arguments and arguments[0] in _RUNSERVERS else None
        if name in _FLASK_SCRIPTS:
            options, _flags, words = _flask_options(arguments)
            return _flask_address(options, environ) if words[:1] == ["run"] else None
    return None


def starts_a_server(script: str, environ: Mapping[str, str], *, is_loaded: bool = False) -> bool:
    """Whether a script's text imports Flask or Werkzeug, and starts one of their servers with a reloader.

    ``is_loaded``: one of them was imported, so the text need not import it. The text may have syntax errors, so it is
    searched and not parsed: for ``app.run(debug=True)``, or for ``.run(`` with debug set in another way.
    """
    try:
        with open(script, "rb") as file:
            text = file.read(_MAX_SCRIPT).decode("utf-8", "replace")
    except (OSError, ValueError):
        return False
    text = _STRING.sub(lambda found: "" if found[0].startswith("#") else found[0], text)
    if not is_loaded and not _NAMES_A_SERVER.search(text):
        return False
    code = _STRING.sub("''", text)
    if any(_RELOADER.search(arguments) for arguments in _arguments(_RUNS_SIMPLE, code)):
        return True
    is_set = bool(_SETS_DEBUG.search(text)) or environ.get("FLASK_DEBUG", "").lower() in _TRUE
    return any(
        is_set
        or _DEBUG.search(arguments)
        or _third(arguments) in ("True", "1")
        or ("**" in arguments and _NAMES_DEBUG.search(text))
        for arguments in _arguments(_RUNS_APP, code)
    )


def _arguments(call: re.Pattern[str], code: str) -> Iterator[str]:
    """Yield the text between the parentheses of each ``call`` in ``code``. The strings in ``code`` must be empty."""
    for found in call.finditer(code):
        depth, end = 1, found.end()
        while depth and end < len(code):
            depth += {"(": 1, ")": -1}.get(code[end], 0)
            end += 1
        yield code[found.end() : end - 1]


def _third(arguments: str) -> str:
    """Return the third argument, which is ``debug`` for ``app.run``."""
    while (bare := re.sub(r"\([^()]*\)", "", arguments)) != arguments:
        arguments = bare
    return [*arguments.split(","), "", "", ""][2].strip()
