"""Find out, in a process that is thrown away, which modules a standby may import.

The probe imports the candidates one by one, and watches what each module does while it is executed. A module that
does what the user's code could notice, or that reads what the code changes, stays cold.

Limits: what C code does is seen only in its output. Variables that it reads are not seen, so the plan leaves out
extension modules that may read some, if the code changes variables.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.machinery import ExtensionFileLoader, SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from typing import Any

from ....lifecycle import standbys
from . import extensions, facts
from .guard import Guard

# Files in a probe's folder.
RESULT = "result"
PROGRESS = "progress"  # the name of the candidate that is being imported
OUTPUT = "output"
EVERYTHING = "*"  # all variables of the environment at once

_NICENESS = 19
_MAX_NAME = 500  # bytes of the name in the file of the progress
_SIGNALS = sorted(signal.valid_signals())


class Probe:
    """One run over the candidates."""

    def __init__(self, folder: Path, plan: Mapping[str, Any], tripwires: Iterable[tuple[str, str]]) -> None:
        """Take the plan, and the ``tripwires``: modules with attributes whose use means that settings are read."""
        self._folder = folder
        self._identities = {name: identity for name, *identity in plan["names"]}
        self._present = frozenset(plan["present"])
        self._changed = frozenset(plan["changed"])
        self._tripwires = list(tripwires)
        self._stack: list[str] = []  # the modules that are being executed
        self.is_finding = False  # whether a finder works: devpatch's own reads the environment
        self.cold: dict[str, str] = {}
        self.reads: dict[str, set[str]] = {}
        self.written: dict[str, str] = {}
        _nice()
        self._output = _redirect_output(folder / OUTPUT)
        self._environ = _watch_environ(self)
        self._before = set(sys.modules)
        self._guard = _WatchingGuard(self, plan)
        self._state = self._look()

    def run(self) -> None:
        """Import all candidates and write the result."""
        progress = os.open(self._folder / PROGRESS, os.O_WRONLY | os.O_CREAT)
        for name in self._identities:
            os.lseek(progress, 0, os.SEEK_SET)
            os.write(progress, name.encode().ljust(_MAX_NAME))
            self._import(name)
        kept = [name for name in self._identities if name not in self.cold]
        result = {
            "cold": self.cold,
            "reads": {key: sorted(names) for key, names in self.reads.items()},
            "written": self.written,
            "missing": sorted(self._guard.missing),
            "finders": facts.finders(),
            "environment_readers": [name for name in kept if self._may_read_environment(name)],
            "can_be_niced": _can_be_niced(),
        }
        with open(self._folder / RESULT, "w", encoding="utf-8") as file:
            json.dump(result, file)

    def _may_read_environment(self, name: str) -> bool:
        file = self._identities[name][0]
        return extensions.is_extension(file) and extensions.may_read_environment(file)

    def _import(self, name: str) -> None:
        self._guard.begun.clear()
        self._guard.denials.clear()
        try:
            module = importlib.import_module(name)
        except BaseException as error:
            self.keep_cold(name, f"{type(error).__name__}: {error}")
        else:
            if name in sys.modules and facts.identity(module) != self._identities[name]:
                self.keep_cold(name, "it is another file here")
            if self._guard.denials:
                self.keep_cold(name, f"it imports {self._guard.denials[0]}")
        for begun in self._guard.begun:
            if begun not in sys.modules:
                self.keep_cold(begun, "its import fails")
        if extra := set(sys.modules) - self._before - self._present:
            self.keep_cold(name, f"it imports {min(extra)}, which the worker has not imported")
            self._before |= extra

    def keep_cold(self, name: str, reason: str) -> None:
        """Do not let a standby import the module ``name``."""
        self.cold.setdefault(name, reason)
        self._guard.allowed -= {name}

    # What a module does while it is executed.

    @property
    def current(self) -> str | None:
        """The module that is being executed."""
        return self._stack[-1] if self._stack else None

    def execute(self, name: str, execute: Callable[..., Any], *args: Any) -> Any:
        """Call ``execute`` for the module ``name`` and watch what it does."""
        self._stack.append(name)
        try:
            return execute(*args)
        finally:
            before, self._state = self._state, self._look()
            for what, value in self._state.items():
                if value != before[what]:
                    self.keep_cold(name, what)
            self._set_tripwires(name)
            self._stack.pop()

    def read(self, key: str) -> None:
        """Record that the current module reads a variable."""
        if self.current is None or self.is_finding:
            return
        self.reads.setdefault(key, set()).add(self.current)
        if key in self._changed or (key == EVERYTHING and self._changed):
            self.keep_cold(self.current, f"it reads {'the environment' if key == EVERYTHING else key}")

    def _look(self) -> dict[str, Any]:
        """Return the state that a module must not change, by what a change means."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        return {
            "it prints": os.fstat(self._output).st_size,
            "it starts a thread": threading.active_count(),
            "it handles a signal": [signal.getsignal(number) for number in _SIGNALS],
            "it replaces a hook": (sys.excepthook, sys.displayhook, threading.excepthook),
            "it changes the folder": os.getcwd(),
            "it changes sys.path": list(sys.path),
            "it puts a finder first": self._guard.finders_before(),
        }

    def _set_tripwires(self, name: str) -> None:
        for module, path in self._tripwires:
            if module == name and module in sys.modules:
                *parents, attribute = path.split(".")
                parent: Any = sys.modules[module]
                for step in parents:
                    parent = getattr(parent, step)
                value = vars(parent).get(attribute)
                if value is not None:
                    setattr(parent, attribute, _tripwire(value, self._trip))

    def _trip(self) -> None:
        if self.current is not None:
            self.keep_cold(self.current, "it reads settings")


class _WatchingGuard(Guard):
    """Also has each module's execution watched."""

    def __init__(self, probe: Probe, plan: Mapping[str, Any]) -> None:
        names = [name for name, *_identity in plan["names"]]
        super().__init__(names, plan["looked_up"], plan["present"])
        self._probe = probe

    def find_beyond(self, name: str, path: Any, target: Any) -> Any:
        """See Guard."""
        before, self._probe.is_finding = self._probe.is_finding, True  # A finder may import something itself.
        try:
            return super().find_beyond(name, path, target)
        finally:
            self._probe.is_finding = before

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """See Guard."""
        if super().find_spec(name, path, target) is not None or name not in self.allowed:
            return None
        spec = self.find_beyond(name, path, target)
        loader = getattr(spec, "loader", None)
        for method in ("create_module", "exec_module"):
            execute = getattr(loader, method, None)
            if execute is not None and _is_watchable(loader):
                setattr(loader, method, partial(self._probe.execute, name, execute))
        return spec


def _is_watchable(loader: Any) -> bool:
    """Whether ``loader`` is an object for one module, and no proxy for another one."""
    # A built-in module's loader is a class. One loader of a zip file loads several modules.
    return type(loader) in (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader)


class _WatchedVariables(dict[Any, Any]):
    """The data of ``os.environ``. Reports what is read and written."""

    probe: Probe

    def __getitem__(self, key: Any) -> Any:
        self.probe.read(_decoded(key))
        return super().__getitem__(key)

    def __iter__(self) -> Any:
        self.probe.read(EVERYTHING)
        return super().__iter__()

    def __contains__(self, key: Any) -> bool:
        self.probe.read(_decoded(key))
        return super().__contains__(key)

    def get(self, key: Any, default: Any = None) -> Any:
        self.probe.read(_decoded(key))
        return super().get(key, default)

    def items(self) -> Any:
        self.probe.read(EVERYTHING)
        return super().items()

    def __setitem__(self, key: Any, value: Any) -> None:
        if self.probe.current is not None:
            self.probe.written[_decoded(key)] = _decoded(value)
        super().__setitem__(key, value)


def _decoded(key: Any) -> str:
    return os.fsdecode(key) if isinstance(key, bytes | str) else str(key)


def _watch_environ(probe: Probe) -> _WatchedVariables:
    environ: Any = os.environ
    data = _WatchedVariables(environ._data)
    data.probe = probe
    environ._data = data
    return data


def _tripwire(value: Any, trip: Callable[[], object]) -> Any:
    """Return a replacement for a function or property of a class that calls ``trip`` at each use."""
    call: Any = value.fget if isinstance(value, property) else value

    def tripped(*args: Any, **kwargs: Any) -> Any:
        trip()
        return call(*args, **kwargs)

    return property(tripped) if isinstance(value, property) else tripped


def _redirect_output(path: Path) -> int:
    """Write what is printed to a file, unbuffered, and return its descriptor."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    return descriptor


def _nice() -> None:
    if hasattr(os, "nice"):
        os.nice(_NICENESS)


def _can_be_niced() -> bool:
    """Whether a process may be niced and raised again. Tried here, because this process is thrown away."""
    if not hasattr(os, "setpriority"):
        return False
    try:
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    except OSError:
        return False
    return True


def run(folder: str, plan: Mapping[str, Any], tripwires: Iterable[tuple[str, str]]) -> None:
    """Run a probe and end the process. The result, or how far it came, is in ``folder``."""
    try:
        Probe(Path(folder), plan, tripwires).run()
    finally:
        os._exit(standbys.FOUND_OUT)
