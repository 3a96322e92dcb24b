"""Call a function when the interpreter has started, just before the user's program.

By then ``site`` is done: all lines of .pth files, sitecustomize and usercustomize have run. For a script, Python asks
``sys.path_hooks`` whether it is a folder or a zip file. For ``-m``, it imports runpy.

Limits: it does not work for ``-c``, nor if runpy was imported before. Then ``call`` returns False.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

_RUNNER = "runpy"
_LONG_WITH_VALUE = "--check-hash-based-pycs"
_WITH_VALUE = "WX"  # options of Python whose value follows, in the same word or the next one


def call(act: Callable[[], object]) -> bool:
    """Call ``act`` then. Return False if that is not possible."""
    target = _target(sys.orig_argv[1:])
    if target == "-m" and _RUNNER not in sys.modules:
        sys.meta_path.insert(0, _Finder(act))
        return True
    if target is not None and not target.startswith("-"):
        sys.path_hooks.insert(0, _Hook(act, target))
        return True
    return False


def _target(words: Sequence[str]) -> str | None:
    """Return the script in a command line of Python, or "-m", "-c", or None."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            return None if word == "-" else word
        if word.startswith("--"):
            rest[:1] = [] if word == _LONG_WITH_VALUE else rest[:1]
            continue
        for place, letter in enumerate(word[1:], start=2):
            if letter in _WITH_VALUE:
                rest[:1] = rest[:1] if word[place:] else []
                break
            if letter in "cm":
                return f"-{letter}"
    return None


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)
    except OSError:  # The folder was deleted.
        return path


class _Hook:
    def __init__(self, act: Callable[[], object], script: str) -> None:
        self._act: Callable[[], object] | None = act
        self._scripts = (script, _absolute(script))  # It depends on the version of Python.

    def __call__(self, path: str) -> NoReturn:
        if path in self._scripts and self._act is not None:
            act, self._act = self._act, None
            act()
            # Python goes through the hooks by their numbers now, so this one is removed at the next import.
            sys.meta_path.insert(0, _Remover(self))
        raise ImportError("not a path of modules")


class _Remover:
    def __init__(self, hook: _Hook) -> None:
        self._hook = hook

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if self not in sys.meta_path:
            return None
        sys.path_hooks.remove(self._hook)
        return _step_aside(self, name, path, target)


class _Finder:
    def __init__(self, act: Callable[[], object]) -> None:
        self._act: Callable[[], object] | None = act

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != _RUNNER or self._act is None:
            return None
        act, self._act = self._act, None
        act()
        return _step_aside(self, name, path, target)


def _step_aside(finder: Any, name: str, path: Any, target: Any) -> Any:
    """Remove ``finder`` while the import system asks it, and return what the next one finds.

    The import system's loop over the finders does not ask that one, because the list has become shorter.
    """
    place = sys.meta_path.index(finder)
    del sys.meta_path[place]
    find = getattr(sys.meta_path[place], "find_spec", None) if place < len(sys.meta_path) else None
    return None if find is None else find(name, path, target)
