"""What a process of a session with fast reload does, by its instructions.

Limits: a worker imports this module before the user's code, so it imports little.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ....lifecycle import standbys
from . import keeping, recording

# What instructions contain.
ROLE = "role"
PLAN = "plan"  # the path of a file with the plan
FOLDER = "folder"  # for the files of a probe
EVENTS_ONLY, WORKER, STANDBY, PROBE = "events only", "worker", "standby", "probe"


def begin(instructions: standbys.Instructions) -> None:
    """Begin to follow ``instructions``, when the interpreter starts."""
    if instructions[ROLE] == PROBE:
        return
    keeping.begin()
    from . import sources

    sources.install()
    if instructions[ROLE] == WORKER:
        recording.begin([])
    elif instructions[ROLE] == STANDBY:
        plan = _plan(instructions)
        began = recording.begin([name for name, *_identity in plan["names"]])
        began.reads = plan["reads"]
        standbys.object_with(lambda: _objection(began))


def _objection(began: recording.Recording) -> str | None:
    from . import facts  # Not earlier, because it imports much.

    return facts.objection(began)


def before_program(
    instructions: standbys.Instructions,
    is_due: Callable[[], bool],
    tripwires: Callable[[], Iterable[tuple[str, str]]],
) -> None:
    """Act when the interpreter has started, just before the user's program. A probe ends here."""
    if instructions[ROLE] == PROBE:
        from . import probe

        probe.run(instructions[FOLDER], _plan(instructions), tripwires())
    if instructions[ROLE] == STANDBY:
        from . import facts, warming

        warming.warm(_plan(instructions), is_due)
        assert recording.this is not None
        recording.this.warmed = facts.contents()
    if recording.this is not None:
        recording.this.program_begins()


def _plan(instructions: standbys.Instructions) -> Mapping[str, Any]:
    with open(instructions[PLAN], encoding="utf-8") as file:
        plan: Mapping[str, Any] = json.load(file)
    return plan
