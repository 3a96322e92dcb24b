"""django.core.checks: the messages behind a SystemCheckError, and the code of the objects that they complain about.

The exception itself has only a text. Django asks each message whether it is silenced, so that call is watched.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

from ..lifecycle import failures
from ..patching import Capability, Decorate, Register

_messages: dict[int, Any] = {}  # by id, in the order in which Django asked for them


def _watch_is_silenced(is_silenced: Callable[..., Any]) -> Callable[..., Any]:
    def watched(message: Any) -> Any:
        _messages[id(message)] = message
        return is_silenced(message)

    return watched


def _explain(kind: type) -> Callable[[BaseException], list[failures.Problem]]:
    def explain(error: BaseException) -> list[failures.Problem]:
        if not isinstance(error, kind):
            return []
        text = str(error)
        return [
            _problem(message)
            for message in list(_messages.values())
            if message.is_serious() and str(message) in text
        ]

    return explain


def _problem(message: Any) -> failures.Problem:
    obj = message.obj
    label = "" if obj is None else str(message).partition(": ")[0]
    file, line = _place(obj)
    return failures.Problem(
        str(message.id or ""), str(message.msg), str(message.hint or ""), label, file, line
    )


def _place(obj: Any) -> tuple[str | None, int]:
    """Return the file and line of a class, of a model's field, or of an object's class. The file may be None."""
    name = getattr(obj, "name", None)
    owner = getattr(obj, "model", None)
    kind = owner if isinstance(owner, type) and isinstance(name, str) else obj
    kind = kind if isinstance(kind, type) or inspect.isfunction(kind) else type(kind)
    try:
        file = inspect.getsourcefile(kind)
        lines, first = inspect.getsourcelines(kind)
    except (OSError, TypeError):  # It was not made by source code, or is a built-in.
        return None, 0
    if kind is owner and isinstance(name, str):
        assignment = re.compile(rf"\s+{re.escape(name)}\s*[:=]")
        first += next((number for number, text in enumerate(lines) if assignment.match(text)), 0)
    return file, first


PATCHES = (
    Decorate(
        "django.core.checks.messages", "CheckMessage.is_silenced", Capability.CHECKS, _watch_is_silenced
    ),
    Register(
        "django.core.management.base",
        "SystemCheckError",
        Capability.CHECKS,
        _explain,
        failures.explanations,
    ),
)
