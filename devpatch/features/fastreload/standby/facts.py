"""What a worker reports once it has answered a request: what it has imported, and what its code changed.

Values are looked at by their types only. An attribute of a lazy object, or of a lazy module, might evaluate it.
"""

from __future__ import annotations

import operator
import os
import sys
import time
from collections.abc import Collection, Iterator
from types import FunctionType, ModuleType
from typing import Any

from ....lifecycle.failures import is_own
from .recording import Contents, Recording

_PATCHERS = ("gevent", "eventlet")  # They must be imported before the modules that they patch.
# Hooks of the interpreter, which programs set. No library binds them by name.
_HOOKS = frozenset({"excepthook", "displayhook", "unraisablehook", "breakpointhook"})
# Seconds. The look at all modules pauses after each slice, so that requests go on.
_SLICE = 0.002
_PAUSE = 0.001
_OURS = ("devpatch", "wrapt")
_NAMESPACE: Any = vars(ModuleType)["__dict__"]
_PROGRAM = ("__main__", "__mp_main__")  # multiprocessing gives the program's module a second name
_RUNNER = "runpy"  # For -m, Python imports it when a standby goes, even if the standby has imported it.

Identity = list[Any]  # the file of a module, and the folders of a package; None for what it has not


def is_module(value: Any) -> bool:
    """Whether ``value`` is a module. ``isinstance`` would ask a proxy for its class."""
    return issubclass(type(value), ModuleType)


def values_of(module: ModuleType) -> dict[str, Any]:
    """Return the namespace of ``module``. ``vars`` would load a module of ``importlib.util.LazyLoader``."""
    namespace: dict[str, Any] = _NAMESPACE.__get__(module)
    return namespace


def identity(module: Any) -> Identity:
    """Return what makes ``module`` this module and not another one of the same name."""
    if not is_module(module):
        return [None, None]
    file, path = values_of(module).get("__file__"), values_of(module).get("__path__")
    try:
        folders = [entry for entry in path if isinstance(entry, str)] if path is not None else None
    except Exception:
        folders = None
    return [os.path.abspath(file) if isinstance(file, str) else None, folders]


def collect(recording: Recording) -> dict[str, Any]:
    """Return the facts of this process."""
    modules = dict(sys.modules)
    names = [name for name in recording.names if name in modules and name.partition(".")[0] not in _OURS]
    patches = _own_patches(modules)
    return {
        "names": [[name, *identity(modules[name])] for name in names],
        "present": sorted(modules),
        "looked_up": sorted(name for name in recording.names if name not in modules),
        "changed": recording.changed(),
        "path": [entry for entry in sys.path if isinstance(entry, str)],
        "finders": finders(),
        "patches": patches,
        "refusal": quick_refusal(recording) or _patch_of_early_module(patches, recording),
    }


def finders() -> list[str]:
    """Return the kinds of the import system's finders and path hooks, without devpatch's."""
    found = [_kind(finder) for finder in (*sys.meta_path, *sys.path_hooks)]
    return sorted(kind for kind in found if kind.partition(".")[0] not in _OURS)


def _kind(finder: Any) -> str:
    if isinstance(finder, type | FunctionType):
        return f"{finder.__module__}.{finder.__qualname__}"
    return f"{type(finder).__module__}.{type(finder).__qualname__}"


def quick_refusal(recording: Recording) -> str | None:
    """Return why the next worker must start cold, as far as a quick look shows, or None."""
    if not recording.has_seen_begin:
        return "Python runs neither a script nor a module"
    return _option_or_debugger() or _patcher() or _own_hook() or _late_switch(recording)


def _option_or_debugger() -> str | None:
    if sys.flags.verbose:
        return "Python runs with -v"
    if "importtime" in sys._xoptions or os.environ.get("PYTHONPROFILEIMPORTTIME"):
        return "Python runs with -X importtime"
    if any(option.startswith("error") for option in sys.warnoptions):
        return "Python runs with -W error"
    if sys.gettrace() is not None or sys.getprofile() is not None:
        return "a debugger or a profiler watches the imports"
    return None


def _patcher() -> str | None:
    return next((f"{name} patches modules" for name in _PATCHERS if name in sys.modules), None)


def _own_hook() -> str | None:
    kinds = [_kind(finder) for finder in (*sys.meta_path, *sys.path_hooks)]
    own = [kind for kind in kinds if is_own_module(kind.rpartition(".")[0], sys.modules)]
    return f"the code has its own import hook, {own[0]}" if own else None


def _late_switch(recording: Recording) -> str | None:
    names = [name for name in recording.changed() if name.startswith("DEVPATCH_")]
    return f"the code sets {names[0]}" if names else None


def _own_patches(modules: dict[str, Any]) -> dict[str, str]:
    """Return the functions and classes of libraries that are the code's own: one for each module, by its name.

    The code has put them there, or a library has asked for them by name, such as for the project's model of users.
    """
    own = {name for name in modules if is_own_module(name, modules)}
    patches: dict[str, str] = {}
    began = time.perf_counter()
    for name, module in modules.items():
        if name in own or not is_module(module) or name.partition(".")[0] in _OURS:
            continue
        if time.perf_counter() - began > _SLICE:
            time.sleep(_PAUSE)
            began = time.perf_counter()
        for attribute, value in _members(module):
            if _origin(value) in own and not (name in ("sys", "threading") and attribute in _HOOKS):
                patches[name] = f"{name}.{attribute}"
                break
    return patches


def _patch_of_early_module(patches: dict[str, str], recording: Recording) -> str | None:
    """Return that the code has replaced something in a module which is imported before it, or None.

    A module that is imported after the code has begun may be patched: no library has seen the original then.
    """
    for name, attribute in patches.items():
        if name in recording.ahead or name not in recording.names:
            return f"the code replaces {attribute}"
    return None


def contents() -> Contents:
    """Return all modules and their values now, for ``objection``."""
    return {
        name: (module, tuple(values_of(module).values()))
        for name, module in sys.modules.items()
        if is_module(module)
    }


def _quick_own_patch(modules: dict[str, Any], warmed: Contents) -> str | None:
    """Return what the code has replaced in a ``warmed`` module, in a few milliseconds, without the methods of classes.

    Most of the modules have not changed, so they need no closer look.
    """
    own = {name for name in modules if name not in warmed and is_own_module(name, modules)}
    own.update(_PROGRAM)
    for name, (module, values) in warmed.items():
        if name in (*_PROGRAM, _RUNNER) or name.partition(".")[0] in _OURS:
            continue
        if name in modules and modules[name] is not module:
            return f"the code replaces the module {name}"
        if _are_same(values_of(module).values(), values):
            continue
        for attribute, value in list(values_of(module).items()):
            if _origin(value) in own and attribute not in _HOOKS:
                return f"the code replaces {name}.{attribute}"
    return None


def _are_same(values: Collection[Any], before: Collection[Any]) -> bool:
    return len(values) == len(before) and all(map(operator.is_, values, before))


def _members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes of ``module`` and the methods of its own classes, with their names."""
    for attribute, value in list(values_of(module).items()):
        yield attribute, value
        if issubclass(type(value), type) and _attribute_of(value, "__module__") == module.__name__:
            for inner, method in list(type.__dict__["__dict__"].__get__(value).items()):
                if type(method) is FunctionType:
                    yield f"{attribute}.{inner}", method


def _attribute_of(kind: Any, name: str) -> Any:
    return type.__dict__["__dict__"].__get__(kind).get(name)


def _origin(value: Any) -> str | None:
    """Return the name of the module in which a function or class was defined. None for other values."""
    if type(value) is FunctionType:
        # Not ``__module__``, which functools.wraps copies from the replaced function.
        name = value.__globals__.get("__name__")
    elif issubclass(type(value), type):
        name = _attribute_of(value, "__module__")
    else:
        return None
    return name if isinstance(name, str) else None


def is_own_module(name: str, modules: Any) -> bool:
    """Whether ``modules`` has a module of this name that is the user's own code."""
    module = modules.get(name)
    file = values_of(module).get("__file__") if is_module(module) else None
    return isinstance(file, str) and is_own(os.path.abspath(file))


def objection(recording: Recording) -> str | None:
    """Return why this worker, a former standby, must be replaced by one that starts cold, or None."""
    warmed, recording.warmed = (
        recording.warmed,
        {},
    )  # A worker must not keep values that its modules have dropped.
    reason = quick_refusal(recording) or _quick_own_patch(dict(sys.modules), warmed)
    if reason is not None:
        return reason
    for name in recording.changed():
        if readers := recording.reads.get(name):
            return f"{readers[0]} reads {name}, which the code changes now"
    return None
