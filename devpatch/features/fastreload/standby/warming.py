"""Import ahead, in a standby, what the plan allows. Any failure ends the standby: the worker then starts cold."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from ....lifecycle import standbys
from . import facts, freezing, sources
from .guard import Guard

_NICENESS = 10


class Failed(BaseException):
    """An import went on differently from the probe's."""


def warm(plan: Mapping[str, Any], is_due: Callable[[], bool]) -> None:
    """Import the modules of ``plan``, and read the code of the rest, until ``is_due``. May end this process."""
    try:
        with _lower_priority(plan["can_be_niced"], is_due) as priority:
            _import_all(plan, is_due, priority)
            freezing.freeze()
            if not is_due():
                sources.read_ahead((name, file) for name, file in plan["sources"])
    except BaseException:
        os._exit(standbys.NOT_READY)


def _import_all(plan: Mapping[str, Any], is_due: Callable[[], bool], priority: _lower_priority) -> None:
    guard = Guard([name for name, *_identity in plan["names"]], plan["looked_up"], plan["present"])
    for name, *identity in plan["names"]:
        if is_due():
            break
        began = time.perf_counter()
        module = importlib.import_module(name)
        if facts.identity(module) != identity:
            raise Failed(name)
        if any(begun not in sys.modules for begun in guard.begun) or guard.denials:
            raise Failed(name)
        guard.begun.clear()
        priority.pause(time.perf_counter() - began)
    guard.end()
    importlib.invalidate_caches()


class _lower_priority:
    """Leave the processor to the worker: by a nice value that can be taken back, or by pauses."""

    def __init__(self, can_be_niced: bool, is_due: Callable[[], bool]) -> None:
        self._is_niced = can_be_niced
        self._is_due = is_due
        self._before = 0

    def __enter__(self) -> _lower_priority:
        if self._is_niced:
            self._before = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, 0, self._before + _NICENESS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_niced:
            os.setpriority(os.PRIO_PROCESS, 0, self._before)

    def pause(self, worked: float) -> None:
        """Pause as long as was ``worked``, in seconds, unless the standby is due."""
        if not self._is_niced and not self._is_due():
            time.sleep(worked)
