"""Every DEVPATCH_ variable: its name, how it is read, its default and a line of help.

Messages, ``python -m devpatch`` and the table of the reference are made from this table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

PREFIX = "DEVPATCH_"

ON = "1"
_TRUE = (ON, "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def boolean(text: str) -> bool:
    """Read a boolean; case does not matter. Raises ValueError."""
    lowered = text.lower()
    if lowered not in (*_TRUE, *_FALSE):
        raise ValueError(text)
    return lowered in _TRUE


STRICT = "strict"


def boolean_or_strict(text: str) -> bool | str:
    """Read a boolean or "strict". Raises ValueError."""
    return STRICT if text.lower() == STRICT else boolean(text)


# The value of DEVPATCH_FASTRELOAD that observes the files and keeps no standby.
EVENTS = "events"


def boolean_or_events(text: str) -> bool | str:
    """Read a boolean or "events". Raises ValueError."""
    return EVENTS if text.lower() == EVENTS else boolean(text)


_RELOAD = 3  # Django's and Werkzeug's reloaders start the worker again on this exit status


def exit_code(text: str) -> int:
    """Read an exit status from 1 to 255, but not 3, which reloaders take to mean "reload". Raises ValueError."""
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= 255 or int(text) == _RELOAD:
        raise ValueError(text)
    return int(text)


# The values of DEVPATCH_THREADED besides a number of threads.
CONCURRENT = "concurrent"
ONE_AT_A_TIME = "one at a time"
_THREADS = range(2, 1025)


def concurrency(text: str) -> int | str:
    """Read how requests are handled: a boolean, or a number of threads. Raises ValueError."""
    if text.isascii() and text.isdigit() and len(text) <= 4 and int(text) in _THREADS:
        return int(text)
    return CONCURRENT if boolean(text) else ONE_AT_A_TIME


_CALLABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def callables(text: str) -> tuple[str, ...]:
    """Read names of callables, ``package.module:callable``, separated by commas. Raises ValueError."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if not _CALLABLE.fullmatch(name):
            module, _, attribute = name.rpartition(".")
            meant = f"{module}:{attribute}"
            raise Unlikely(f"did you mean {meant}?") if _CALLABLE.fullmatch(meant) else ValueError(name)
    if not names:
        raise ValueError(text)
    return names


# The parts of DEVPATCH_SUMMARY. "sql+" includes "sql".
SUMMARY_PARTS = ("time", "sql", "cache", "memory", "session", "ajax", "header")
EACH_QUERY = "sql+"
_USUAL_PARTS = ("time", "sql", "cache", "memory", "header")


def summary_parts(text: str) -> tuple[str, ...]:
    """Read a boolean, or the names of parts, separated by commas. False gives no part. Raises ValueError."""
    names = {name.strip().lower() for name in text.split(",") if name.strip()}
    if EACH_QUERY in names:
        names.add("sql")
    if names and names <= {*SUMMARY_PARTS, EACH_QUERY}:
        return tuple(name for name in (*SUMMARY_PARTS, EACH_QUERY) if name in names)
    return _USUAL_PARTS if boolean(text) else ()


def milliseconds(text: str) -> int:
    """Read a whole number of milliseconds, at least 1. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9) or int(text) < 1:
        raise ValueError(text)
    return int(text)


def path_prefixes(text: str) -> tuple[str, ...]:
    """Read the beginnings of URL paths, separated by commas. Raises ValueError."""
    prefixes = tuple(part.strip() for part in text.split(",") if part.strip())
    if not prefixes or not all(prefix.startswith("/") for prefix in prefixes):
        raise ValueError(text)
    return prefixes


# The URLs that the editors register: their documentation, or that of an extension for them.
_EDITORS = {
    "vscode": "vscode://file/{path}:{line}",
    "vscode-insiders": "vscode-insiders://file/{path}:{line}",
    "vscodium": "vscodium://file/{path}:{line}",
    "cursor": "cursor://file/{path}:{line}",
    "zed": "zed://file/{path}:{line}",
    "pycharm": "pycharm://open?file={path}&line={line}",
    "idea": "idea://open?file={path}&line={line}",
    "sublime": "subl://open?url=file://{path}&line={line}",
    "textmate": "txmt://open?url=file://{path}&line={line}",
    "macvim": "mvim://open?url=file://{path}&line={line}",
    "emacs": "emacs://open?url=file://{path}&line={line}",
}


def editor(text: str) -> str:
    """Read the name of an editor, or a pattern of URLs. Return the pattern. Raises ValueError."""
    pattern = _EDITORS.get(text.lower(), text)
    scheme, colon, _rest = pattern.partition(":")
    is_unsafe = scheme.lower() in ("javascript", "data", "vbscript") or not scheme.replace("-", "").isalnum()
    if not colon or is_unsafe or "{path}" not in pattern:
        raise ValueError(text)
    return pattern


def folders(text: str) -> tuple[tuple[str, str], ...]:
    """Read pairs of folders, ``here=there``, separated by commas. Raises ValueError."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not pairs or not all(here.strip() and equals and there.strip() for here, equals, there in pairs):
        raise ValueError(text)
    return tuple((here.strip(), there.strip()) for here, _equals, there in pairs)


class Unlikely(ValueError):
    """A bad value, with a hint at the intended one."""


BOOLEAN_VALUES = f"{', '.join((*_TRUE, *_FALSE[:-1]))} or {_FALSE[-1]}"


@dataclass(frozen=True)
class Switch:
    """One variable. ``allowed`` completes the sentence "use …"."""

    name: str
    parse: Callable[[str], object]
    default: bool | int | tuple[()] | None
    allowed: str
    help: str

    @property
    def flag(self) -> str:
        """The switch as an option of ``devpatch run``."""
        return "--" + self.name.removeprefix(PREFIX).lower().replace("_", "-")

    @property
    def is_on_or_off(self) -> bool:
        """Whether the switch can be turned on without any other value."""
        try:
            return self.parse(_TRUE[-1]) != _TRUE[-1]  # A parser of any text returns the text.
        except ValueError:
            return False


def _flag(name: str, help: str) -> Switch:
    return Switch(name, boolean, False, BOOLEAN_VALUES, help)


DISABLE = _flag("DEVPATCH_DISABLE", "turn all of devpatch off")
FAILFAST = Switch(
    "DEVPATCH_FAILFAST",
    boolean_or_strict,
    False,
    f"{BOOLEAN_VALUES}, or {STRICT}",
    "stop the server, with an exit status, at the first unhandled request error; strict: at handled ones too",
)
FAILFAST_EXIT_CODE = Switch(
    "DEVPATCH_FAILFAST_EXIT_CODE",
    exit_code,
    1,
    "a number from 1 to 255, but not 3, which means reload to reloaders",
    "the exit status of DEVPATCH_FAILFAST",
)
THREADED = Switch(
    "DEVPATCH_THREADED",
    concurrency,
    None,
    f"{ON} for any number of threads, {_THREADS[0]} to {_THREADS[-1]} for at most that many, or 0 for one request "
    f"at a time ({', '.join(_TRUE[1:])} mean {ON}, and {', '.join(_FALSE[1:])} mean 0)",
    "handle requests concurrently, with at most that many threads, or (0) one at a time",
)
FAILSAFE = _flag(
    "DEVPATCH_FAILSAFE",
    "keep the reloading server up when code is broken, and start the code again at the next change",
)
FASTRELOAD = Switch(
    "DEVPATCH_FASTRELOAD",
    boolean_or_events,
    False,
    f"{BOOLEAN_VALUES}, or {EVENTS}",
    "reload immediately when a file is saved, by a standby that has the libraries; events: without a standby",
)

EXC_INFO = _flag(
    "DEVPATCH_EXC_INFO",
    "pass the exception behind an error response to start_response, under any WSGI server",
)
ON_ERROR = Switch(
    "DEVPATCH_ON_ERROR",
    callables,
    (),
    "package.module:callable, several separated by commas",
    "call these functions with an ErrorEvent for each unhandled request error and each failed load",
)
ERROR_LOG = Switch(
    "DEVPATCH_ERROR_LOG",
    str,
    (),
    "the path of a file",
    "append each unhandled request error and each failed load to this file, as a line of JSON",
)
SUMMARY = Switch(
    "DEVPATCH_SUMMARY",
    summary_parts,
    (),
    f"{BOOLEAN_VALUES}, or a list of {', '.join(SUMMARY_PARTS)} and {EACH_QUERY}, separated by commas",
    "print what each request cost under its log line, and send it to the browser's developer tools",
)
SUMMARY_SLOW = Switch(
    "DEVPATCH_SUMMARY_SLOW",
    milliseconds,
    1000,
    "a number of milliseconds",
    "DEVPATCH_SUMMARY marks a request that takes longer",
)
SUMMARY_IGNORE = Switch(
    "DEVPATCH_SUMMARY_IGNORE",
    path_prefixes,
    (),
    "the beginnings of URL paths, such as /health, separated by commas",
    "DEVPATCH_SUMMARY leaves these requests out, besides static and media files",
)
SUMMARY_LOG = Switch(
    "DEVPATCH_SUMMARY_LOG",
    str,
    (),
    "the path of a file",
    "DEVPATCH_SUMMARY appends each request to the file too, one JSON object per line",
)

EDITOR = Switch(
    "DEVPATCH_EDITOR",
    editor,
    (),
    f"{', '.join(_EDITORS)}, or a URL that contains {{path}} and {{line}}",
    "the error page links to the lines of your code in this editor",
)
EDITOR_PATHS = Switch(
    "DEVPATCH_EDITOR_PATHS",
    folders,
    (),
    "/folder/in/the/container=/folder/on/your/machine, several separated by commas",
    "the folders as DEVPATCH_EDITOR sees them, if the server runs in a container",
)
VERBOSE = _flag("DEVPATCH_VERBOSE", "explain in a line of its own what each switch does")

SWITCHES = (
    *(DISABLE, FAILFAST, FAILFAST_EXIT_CODE, THREADED, FAILSAFE, FASTRELOAD),
    *(EXC_INFO, ON_ERROR, ERROR_LOG),
    *(SUMMARY, SUMMARY_SLOW, SUMMARY_IGNORE, SUMMARY_LOG),
    *(EDITOR, EDITOR_PATHS, VERBOSE),
)
# The switches that turn a feature on.
FEATURES = (FAILFAST, THREADED, FAILSAFE, FASTRELOAD, EXC_INFO, ON_ERROR, ERROR_LOG, SUMMARY)


@dataclass(frozen=True)
class Reading:
    """What one switch is set to: the text in the environment (None if unset), its value, and the problem with it.

    ``implied_by`` is another switch that turns this one on while it is unset, or None.
    """

    switch: Switch
    text: str | None
    value: object
    problem: str | None = None
    implied_by: Switch | None = None

    @property
    def is_set(self) -> bool:
        """Whether the variable is set. An empty one counts as unset."""
        return self.text is not None and bool(self.text.strip())


@dataclass(frozen=True)
class Settings:
    """What one environment sets: each switch, and the names of unknown DEVPATCH_ variables."""

    readings: Mapping[str, Reading]
    unknown: tuple[str, ...] = field(default=())

    def __getitem__(self, switch: Switch) -> object:
        return self.readings[switch.name].value

    @property
    def problems(self) -> list[str]:
        """One line for each bad value."""
        return [reading.problem for reading in self.readings.values() if reading.problem]

    @property
    def hints(self) -> list[str]:
        """One line for each switch that has no effect without another one."""
        needs = {
            FAILFAST_EXIT_CODE: FAILFAST,
            SUMMARY_LOG: SUMMARY,
            SUMMARY_SLOW: SUMMARY,
            SUMMARY_IGNORE: SUMMARY,
        }
        return [
            f"{switch.name} has no effect without {other.name}: set {other.name}=1 too"
            for switch, other in needs.items()
            if self.readings[switch.name].is_set and not self.readings[other.name].is_set
        ]

    @property
    def disabled(self) -> bool:
        """Whether DEVPATCH_DISABLE turns everything off."""
        return bool(self[DISABLE])


def read(environ: Mapping[str, str]) -> Settings:
    """Read every switch from ``environ``. A bad value is replaced by the default and gives a problem. Never raises."""
    readings = {switch.name: _read_one(switch, environ.get(switch.name)) for switch in SWITCHES}
    _imply_failsafe(readings)
    unknown = sorted(name for name in environ if name.startswith(PREFIX) and name not in readings)
    return Settings(readings, tuple(unknown))


def _read_one(switch: Switch, text: str | None) -> Reading:
    if text is None or not text.strip():
        return Reading(switch, text, switch.default)
    try:
        return Reading(switch, text, switch.parse(text.strip()))
    except ValueError as error:
        problem = f"{switch.name}={_quoted(text)} is not valid: use {switch.allowed}"
        if isinstance(error, Unlikely):
            problem += f"; {error}"
        return Reading(switch, text, switch.default, problem)


def _imply_failsafe(readings: dict[str, Reading]) -> None:
    """Activation fail-safe on if fast reload is on. If fail-safe is turned off explicitly, that is a problem."""
    fast, safe = readings[FASTRELOAD.name], readings[FAILSAFE.name]
    if not fast.value or safe.value or safe.problem:
        return
    if safe.text is None or not safe.text.strip():
        readings[FAILSAFE.name] = replace(safe, value=True, implied_by=FASTRELOAD)
        return
    problem = f"{FASTRELOAD.name}={_quoted(fast.text or '')} needs {FAILSAFE.name}, which is set to "
    problem += f"{_quoted(safe.text)}: unset one of them"
    readings[FASTRELOAD.name] = replace(fast, value=FASTRELOAD.default, problem=problem)


def _quoted(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= 60 else f"{shown[:50]}...{shown[-1]}"


def nearest(name: str) -> str | None:
    """Return the switch with the most similar name, or None."""
    # All names share the prefix, which would make any two of them similar.
    names = {switch.name.removeprefix(PREFIX): switch.name for switch in SWITCHES}
    found = closest(name.removeprefix(PREFIX), names)
    return None if found is None else names[found]


def closest(word: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that is most similar to ``word``, or None if none is similar."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(names), n=1, cutoff=0.6)), None)
