"""From a worker's facts to a plan: which modules a standby imports ahead. The supervisor's side.

Probes try the candidates until one of them finds nothing more to leave out. The plan holds for the session, and is made
anew when a worker reports other facts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .... import console
from ....lifecycle import standbys
from ....lifecycle.failures import is_own
from ....lifecycle.standbys import Facts, Launch, Process
from . import memory, probe, roles, sources

_MAX_RUNS = 8  # of probes for one plan
_PROBE_LIMIT = 60.0  # seconds for one of them
_MAX_FAILURES = 3  # standbys in a row that end by themselves before they are ready
# Variables that the frameworks' commands set. No C library reads them when it is loaded.
_OF_FRAMEWORKS = ("DJANGO_", "FLASK_", "WERKZEUG_")
_TIME_ZONE = "TZ"


class Unprepared(standbys.Preparation):
    """Prepares no standbys. The workers read their sources as with a standby."""

    def for_worker(self) -> standbys.Instructions:
        """See standbys.Preparation."""
        return {roles.ROLE: roles.EVENTS_ONLY}


class Planning(standbys.Preparation):
    """Prepares standbys."""

    def __init__(self, is_verbose: bool) -> None:
        """``is_verbose``: print how many modules a standby imports."""
        self._is_verbose = is_verbose
        self._folder = Path()
        self._cold: dict[str, str] = {}
        self._plan: _Plan | None = None
        self._plans: dict[str, _Plan] = {}  # by the paths of their files
        self._planned: _Described | None = None  # the facts of the plan, or of the plan that is being made
        self._probing: _Probing | None = None
        self._said: set[str] = set()
        self._failures = 0

    def begin(self, folder: Path) -> None:
        """See standbys.Preparation."""
        self._folder = folder

    def for_worker(self) -> standbys.Instructions:
        """See standbys.Preparation."""
        return {roles.ROLE: roles.WORKER}

    def for_standby(self) -> standbys.Instructions | None:
        """See standbys.Preparation."""
        if self._plan is None or self._failures >= _MAX_FAILURES:
            return None
        return {roles.ROLE: roles.STANDBY, roles.PLAN: self._plan.file}

    def learn(self, facts: Facts, launch: Launch) -> None:
        """See standbys.Preparation."""
        if facts["refusal"] is not None:
            self.refuse(facts["refusal"])
            return
        described = _described(facts, self._cold)
        if self._planned is not None and described.adds_nothing_to(self._planned):
            return
        self._planned = described
        self._stop_probing()
        self._probing = _Probing(facts, self._cold, self._folder, launch)

    def step(self) -> None:
        """See standbys.Preparation."""
        if self._probing is None:
            return
        try:
            plan = self._probing.step()
        except CannotPlan as error:
            self._stop_probing()
            self._plan = None  # The facts stay: other workers with the same ones need no probes.
            self._say_cold(str(error))
            return
        if plan is None:
            return
        self._stop_probing()
        file = self._folder / f"plan-{len(self._plans)}"
        file.write_text(json.dumps(plan), encoding="utf-8")
        self._plan = self._plans[str(file)] = _Plan(str(file), plan)
        if not plan["names"]:
            self.refuse("no module can be imported ahead")

    def is_ready(self, size: int) -> None:
        """See standbys.Preparation."""
        self._failures = 0
        if self._is_verbose and self._plan is not None:
            console.say(f"fast reload: a standby waits, with {self._plan.described} ({size >> 20} MiB)")

    def may_wait(self, size: int) -> bool:
        """See standbys.Preparation."""
        available = memory.available()
        if available is None or available >= 2 * size:
            return True
        self._say("fast reload keeps no standby: the machine is short of memory")
        return False

    def is_current(self, instructions: standbys.Instructions) -> bool:
        """See standbys.Preparation."""
        if self._plans[instructions[roles.PLAN]].is_current():
            return True
        self._forget_plan()
        return False

    def failed(self) -> None:
        """See standbys.Preparation."""
        self._failures += 1
        self._forget_plan()
        if self._failures == _MAX_FAILURES:
            self._say_cold("imports fail in the standby")

    def refuse(self, reason: str) -> None:
        """See standbys.Preparation."""
        self._forget_plan()
        self._say_cold(reason)

    def _forget_plan(self) -> None:
        self._plan = self._planned = None

    def _say_cold(self, reason: str) -> None:
        self._say(f"fast reload starts cold: {reason}")

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            console.say(message, console.WARNING)

    def _stop_probing(self) -> None:
        if self._probing is not None:
            self._probing.end()
            self._probing = None

    def end(self) -> None:
        """See standbys.Preparation."""
        self._stop_probing()


class CannotPlan(Exception):
    """No standby can be prepared. The message says why."""


class _Probing:
    """The runs of probes for one worker's facts. ``cold`` are the modules that stay cold, and grows."""

    def __init__(self, facts: Facts, cold: dict[str, str], folder: Path, launch: Launch) -> None:
        self._facts, self._cold, self._launch = facts, cold, launch
        self._file, self._folder = folder / "plan.probe", folder / "probe"
        self._folder.mkdir(exist_ok=True)
        self._changed = dict(facts["changed"])
        self._runs = 0
        self._environment_readers: set[str] = set()  # extension modules, once they stay cold
        self._names = [entry for entry in facts["names"] if not _is_own(entry)]
        self._start()

    def _start(self) -> None:
        self._runs += 1
        if self._runs > _MAX_RUNS:
            raise CannotPlan("its imports differ from one time to the next")
        left_out = self._cold.keys() | self._environment_readers
        names = [entry for entry in self._names if entry[0] not in left_out]
        self._plan = {
            "names": names,
            "present": self._facts["present"],
            "looked_up": self._facts["looked_up"],
            "changed": sorted(self._changed),
        }
        self._file.write_text(json.dumps(self._plan), encoding="utf-8")
        self._began = time.monotonic()
        for name in (probe.RESULT, probe.PROGRESS, probe.OUTPUT):
            (self._folder / name).unlink(missing_ok=True)
        instructions = {roles.ROLE: roles.PROBE, roles.PLAN: str(self._file), roles.FOLDER: str(self._folder)}
        self._process: Process = self._launch(instructions)

    def step(self) -> dict[str, Any] | None:
        """Return the plan once a run has found nothing more to leave out. Raises CannotPlan."""
        if not self._process.has_ended():
            if time.monotonic() - self._began > _PROBE_LIMIT:
                raise CannotPlan(f"{self._in_progress() or 'a library'} does not finish its import")
            return None
        self._process.forget()
        try:
            result = json.loads((self._folder / probe.RESULT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            name = self._in_progress()
            if name is None:
                raise CannotPlan("the interpreter ended while it tried the imports") from None
            self._cold[name] = "its import ends the process"
            self._start()
            return None
        return self._judge(result)

    def _judge(self, result: Mapping[str, Any]) -> dict[str, Any] | None:
        if result["cold"]:
            self._cold.update(result["cold"])
            self._start()
            return None
        if result["environment_readers"] and self._changed_by_code(result["written"]):
            self._environment_readers.update(result["environment_readers"])
            self._start()
            return None
        if hooks := sorted(set(self._facts["finders"]) - set(result["finders"])):
            raise CannotPlan(f"the code adds an import hook, {hooks[0]}")
        kept = {name for name, *_identity in self._plan["names"]}
        for name, attribute in self._facts["patches"].items():
            if name in kept:
                raise CannotPlan(f"the code replaces {attribute}")
        rest = [(name, file) for name, file, _path in self._facts["names"] if name not in kept]
        return {
            **self._plan,
            "sources": [(name, file) for name, file in rest if file is not None and file.endswith(".py")],
            "reads": result["reads"],
            "missing": result["missing"],
            "cold": {name: reason for name, reason in self._cold.items() if name in self._facts["present"]},
            "can_be_niced": result["can_be_niced"],
            "path": self._facts["path"],
        }

    def _changed_by_code(self, written: Mapping[str, str]) -> list[str]:
        """Return the variables that the code changes. ``written`` are those that libraries set when imported."""
        return [
            name
            for name, value in self._changed.items()
            if written.get(name) != value and name != _TIME_ZONE and not name.startswith(_OF_FRAMEWORKS)
        ]

    def _in_progress(self) -> str | None:
        try:
            return (self._folder / probe.PROGRESS).read_text(encoding="utf-8").strip() or None
        except OSError:
            return None

    def end(self) -> None:
        """End the running probe, if there is one."""
        if not self._process.has_ended():
            self._process.stop()
        self._process.forget()


class _Described(NamedTuple):
    """What a plan depends on: modules without their order, and other facts."""

    modules: frozenset[tuple[Any, ...]]
    others: tuple[Any, ...]

    def adds_nothing_to(self, before: _Described) -> bool:
        """Whether a plan for ``before`` is one for these facts too.

        A view may import modules at its first request. So what a worker has imported depends on its requests, and a
        worker that has imported fewer modules needs no other plan.
        """
        return self.modules <= before.modules and self.others == before.others


def _described(facts: Facts, cold: Container[str]) -> _Described:
    """Describe ``facts``. The modules that are ``cold`` already do not count."""
    modules = frozenset(
        (name, file, tuple(path or ())) for name, file, path in facts["names"] if name not in cold
    )
    others = (
        frozenset(facts["changed"].items()),
        tuple(facts["path"]),
        tuple(facts["finders"]),
        frozenset(facts["patches"].items()),
    )
    return _Described(modules, others)


def _is_own(entry: list[Any]) -> bool:
    """Whether a module, or a part of a namespace package, is the user's own code."""
    _name, file, path = entry
    return any(is_own(location) for location in _locations(file, path))


def _locations(file: str | None, path: list[str] | None) -> Iterable[str]:
    if file is not None:
        yield file
    yield from (os.path.join(os.path.abspath(folder), "") for folder in path or ())


class _Plan:
    """A plan, and the state of the disk when it was made."""

    def __init__(self, file: str, plan: Mapping[str, Any]) -> None:
        self.file = file
        self.described = f"{len(plan['names'])} modules imported ahead and {len(plan['cold'])} left out"
        self._stamps = {file: sources.stamp(file) for _name, file, _path in plan["names"] if file is not None}
        # A file of one of these names in the project would be imported instead, or be found where none was.
        names = [*(name for name, *_identity in plan["names"]), *plan["missing"], *plan["looked_up"]]
        self._names = {name.partition(".")[0] for name in names}
        self._folders = [path for path in plan["path"] if is_own(os.path.join(os.path.abspath(path), ""))]
        self._own = self._own_names()

    def is_current(self) -> bool:
        """Whether the planned modules are the same as before, and the same files would be found for their names."""
        is_same = all(sources.stamp(file) == before for file, before in self._stamps.items())
        return is_same and self._own_names() <= self._own

    def _own_names(self) -> set[str]:
        """Return the names among those of the plan that the project's own folders have."""
        found: set[str] = set()
        for folder in self._folders:
            try:
                found.update(name.partition(".")[0] for name in os.listdir(folder))
            except OSError:
                continue  # It is not there.
        return found & self._names
