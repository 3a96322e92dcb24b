"""Make a process end sooner: nothing visits or frees the objects of its libraries when it ends.

The collector does not visit frozen objects. The interpreter clears all modules, and that frees each function and class,
unless something else refers to it: here a list that refers to itself and is frozen.

Limits: the ``__del__`` methods of objects in reference cycles that exist now do not run at the end. Functions
and classes of modules are always in such cycles. Everything else of a module is freed as always.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterable
from types import FunctionType
from typing import Any

from . import facts


def freeze(others: Iterable[object] = ()) -> None:
    """Freeze all objects that exist now. ``others`` are never freed either."""
    kept: list[Any] = [*others]
    modules = dict(sys.modules)
    for name, module in modules.items():
        if facts.is_module(module) and not facts.is_own_module(name, modules):
            values = list(facts.values_of(module).values())
            kept += [
                value for value in values if type(value) is FunctionType or issubclass(type(value), type)
            ]
    kept.append(kept)
    gc.collect()
    gc.freeze()
