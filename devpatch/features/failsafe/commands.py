"""Commands that are recognisably development servers with a reloader, and the address in them.

Only what Python was started with is read (``sys.orig_argv``), for this is asked before any code of theirs runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Address = tuple[str, int, bool]  # host, port, whether it is IPv6

_DJANGO_SCRIPTS = ("manage.py", "django-admin", "django-admin.py", "django-admin.exe")
_FLASK_SCRIPTS = ("flask", "flask.exe")
_RUNSERVERS = ("runserver", "runserver_plus")
_ADDRPORT = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[^:\s]+):)?(?P<port>\d+)")
_DJANGO_VALUES = frozenset(
    {"--settings", "--pythonpath", "--verbosity", "-v"}
    | {"--extra-file", "--exclude-pattern", "--reloader-interval", "--reloader-type", "--print-sql-location"}
)
# Options of `flask run` and its group that take a value of their own.
_FLASK_VALUES = frozenset(
    {"--app", "-A", "--env-file", "-e", "--host", "-h", "--port", "-p", "--cert", "--key"}
    | {"--extra-files", "--exclude-patterns"}
)
_COMMENT = re.compile(r"(?m)#.*$")
_NAMES_A_SERVER = re.compile(r"(?m)^\s*(from|import)\s+(flask|werkzeug)\b")
_CALLS = r"(?!subprocess\b|asyncio\b)\b\w+(\(\))?\.run\s*\("
_RUNS_APP = re.compile(_CALLS)
_RUNS_DEBUG = re.compile(_CALLS + r"[^()]*(\([^()]*\)[^()]*)*\b(debug|use_reloader)\s*=\s*(?!False|0|None)")
_RUNS_DEBUG_BY_POSITION = re.compile(
    _CALLS + r"[^(),=]+(\([^()]*\)[^(),=]*)*,[^(),=]+(\([^()]*\)[^(),=]*)*,\s*(True|1)\b"
)
_RUNS_SIMPLE = re.compile(r"\brun_simple\s*\((?s:.)*?\buse_reloader\s*=\s*(?!False|0|None)")
_SETS_DEBUG = re.compile(r"\.debug\s*=\s*(?!False|0|None|=)")
_LONGEST_SCRIPT = 1_000_000  # bytes that are read of it
_MODULE = re.compile("-[bBdEiIOqsSuvx]*m")
_TRUE = ("1", "true", "yes", "on", "t", "y")


@dataclass(frozen=True)
class Command:
    """A development server's command: where it would listen (None: not known), and whether a script starts it."""

    server: str
    address: Address | None = None
    script: str | None = None


def recognise(argv: Sequence[str], environ: Mapping[str, str]) -> Command | None:
    """Return the server that Python was started for with ``argv``, if it reloads; None for all other programs."""
    target, arguments = _split(argv[1:])
    name = os.path.basename(target)
    if target in ("-m django", "-m django.__main__") or name in _DJANGO_SCRIPTS:
        return _django(arguments)
    if target in ("-m flask", "-m flask.__main__") or name in _FLASK_SCRIPTS:
        return _flask(arguments, environ)
    if target and not target.startswith("-"):
        return Command("the script", script=target)
    return None


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return what Python runs, a script or "-m module", and the arguments for it."""
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
    if not arguments or arguments[0] not in _RUNSERVERS or "--noreload" in arguments:
        return None
    if any(word in ("-h", "--help", "--version") for word in arguments):
        return None
    if any(word.startswith(("--cert", "--key-file")) for word in arguments):
        return Command(arguments[0])  # It would speak TLS.
    ipv6 = "-6" in arguments or "--ipv6" in arguments
    words = list(_positional(arguments[1:]))
    if not words:
        return Command(arguments[0], ("::1" if ipv6 else "127.0.0.1", 8000, ipv6))
    found = _ADDRPORT.fullmatch(words[0])
    if found is None:
        return Command(arguments[0])
    host = found["host"] or ("::1" if ipv6 else "127.0.0.1")
    return Command(arguments[0], (host.strip("[]"), int(found["port"]), ipv6 or ":" in host))


def _positional(words: list[str]) -> Iterator[str]:
    rest = iter(words)
    for word in rest:
        if word in _DJANGO_VALUES:
            next(rest, None)
        elif not word.startswith("-"):
            yield word


def _flask(arguments: list[str], environ: Mapping[str, str]) -> Command | None:
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
    debug = environ.get("FLASK_DEBUG", "").lower() in _TRUE
    debug = ("--debug" in flags or debug) and "--no-debug" not in flags
    reloads = ("--reload" in flags or debug) and "--no-reload" not in flags
    if words[:1] != ["run"] or not reloads or "--help" in flags:
        return None
    if "--cert" in options or environ.get("FLASK_RUN_CERT"):
        return Command("flask run")
    host = options.get("--host") or options.get("-h") or environ.get("FLASK_RUN_HOST") or "127.0.0.1"
    port = options.get("--port") or options.get("-p") or environ.get("FLASK_RUN_PORT") or "5000"
    if not (port.isascii() and port.isdigit()):
        return Command("flask run")
    return Command("flask run", (host, int(port), ":" in host))


def starts_a_server(script: str, environ: Mapping[str, str]) -> bool:
    """Whether a script's text names Flask or Werkzeug, and starts a server of theirs that reloads.

    The one call has to do all of it: ``app.run(debug=True)``, or ``.run(`` with FLASK_DEBUG set.
    """
    try:
        with open(script, "rb") as file:
            text = file.read(_LONGEST_SCRIPT).decode("utf-8", "replace")
    except (OSError, ValueError):
        return False
    text = _COMMENT.sub("", text)
    if not _NAMES_A_SERVER.search(text):
        return False
    if _RUNS_SIMPLE.search(text) or (
        environ.get("FLASK_DEBUG", "").lower() in _TRUE and _RUNS_APP.search(text)
    ):
        return True
    if _RUNS_DEBUG.search(text) or _RUNS_DEBUG_BY_POSITION.search(text):
        return True
    return bool(_RUNS_APP.search(text) and _SETS_DEBUG.search(text))
