"""Make a process end sooner: the interpreter does not clear the modules of its libraries.

It clears each module that it finds in ``sys.modules``, so it finds something else there: objects with the modules'
attributes. A module with a value that acts when it is freed, such as an open file, is cleared as always. So are the
user's own modules.

Limits: a value that a library gets later, and that has a ``__del__`` method, is not freed. A worker imports this
module before the user's code, so it imports little.
"""

from __future__ import annotations

import atexit
import gc
import sys
import time
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

_MAX_VALUES = 1000  # of a module; one with more values is cleared
_SLICE, _PAUSE = 0.002, 0.001  # seconds of work, and of rest, for the threads that answer requests
# The interpreter itself uses them until the end.
_NEEDED = frozenset({"sys", "builtins", "__main__", "threading"})
_HARMLESS = (FunctionType, BuiltinFunctionType, ModuleType)

_kept: dict[str, ModuleType] = {}


class _Kept:
    """Has the attributes of a module. Code that still runs may import it."""

    __slots__ = ("_module",)

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def begin() -> None:
    """Register for the end of this process. Called before any other code, so the function runs last."""
    atexit.register(_hide)


def _hide() -> None:
    for name, module in _kept.items():
        if sys.modules.get(name) is module:
            sys.modules[name] = _Kept(module)  # type: ignore[assignment]


def keep() -> list[ModuleType]:
    """Find the modules that need not be cleared, and return them. It takes some tenths of a second, with pauses."""
    from . import facts

    modules = dict(sys.modules)
    began = time.perf_counter()
    for name, module in modules.items():
        if name in _NEEDED or not facts.is_module(module) or facts.is_own_module(name, modules):
            continue
        if not _acts_when_freed(facts.values_of(module).values()):
            _kept[name] = module
        if time.perf_counter() - began > _SLICE:
            time.sleep(_PAUSE)
            began = time.perf_counter()
    return list(_kept.values())


def _acts_when_freed(values: Iterable[Any]) -> bool:
    """Whether one of a module's ``values`` has a ``__del__`` method, at any depth, or there are too many to know it.

    Functions, classes and other modules are not freed anyway.
    """
    todo = list(values)
    seen = {id(sys.stdout), id(sys.stderr)}  # Loggers have them. The interpreter flushes them by itself.
    while todo:
        value = todo.pop()
        kind = type(value)
        if kind in _HARMLESS or issubclass(kind, type) or id(value) in seen:
            continue
        if _has_finalizer(kind) or len(seen) > _MAX_VALUES:
            return True
        if gc.is_tracked(value):
            seen.add(id(value))
            todo += gc.get_referents(value)
    return False


def _has_finalizer(kind: type) -> bool:
    # Not getattr, because a metaclass may have its own.
    return any(
        "__del__" in type.__dict__["__dict__"].__get__(base)
        for base in type.__dict__["__mro__"].__get__(kind)
    )
