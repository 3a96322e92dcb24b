"""The finder that lets a standby, and a probe, import only modules that the plan allows."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any

_OURS = ("devpatch", "wrapt")


class Denied(BaseException):
    """The import of a module that the plan does not allow.

    Not an Exception: a library that catches ImportError would go on without the module.
    """


class Guard:
    """Stands in front of all other finders."""

    def __init__(
        self, allowed: Collection[str], looked_up: Collection[str], present: Collection[str]
    ) -> None:
        """``allowed`` may be imported. The last worker had ``present``, and has not found ``looked_up``."""
        self.allowed = frozenset(allowed)
        self._looked_up = frozenset(looked_up)
        self._present = frozenset(present)
        self.begun: list[str] = []
        self.denials: list[str] = []
        self.missing: set[str] = set()
        sys.meta_path.insert(0, self)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return None for modules that may be imported, and raise Denied for others."""
        if name.partition(".")[0] in _OURS:
            return None
        if name in self.allowed:
            self.begun.append(name)
            return None
        if name in self._looked_up:
            return None
        if name in self._present or self.find_beyond(name, path, target) is not None:
            self.denials.append(name)
            raise Denied(name)
        self.missing.add(name)
        return None

    def find_beyond(self, name: str, path: Any, target: Any) -> Any:
        """Return what the finders behind this one find."""
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            if find is not None:
                spec = find(name, path, target)
                if spec is not None:
                    return spec
        return None

    def finders_before(self) -> int:
        """Return how many finders stand in front of this one. devpatch's own do not count."""
        before = sys.meta_path[: sys.meta_path.index(self)]
        return sum(type(finder).__module__.partition(".")[0] not in _OURS for finder in before)

    def end(self) -> None:
        """Let everything be imported again."""
        sys.meta_path.remove(self)
