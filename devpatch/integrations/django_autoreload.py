"""django.utils.autoreload: the reloader's loop, which holds the worker's main thread.

Django serves from a daemon thread and sleeps in the main one, so an end that the serving thread carried
out would leave the loop running. The loop's ``time.sleep`` is made to leave when an end was asked for.

Limits: the Watchman reloader waits in its client, for up to five seconds; there the watchdog ends it.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..patching import Capability, Overlay, Wrap, overlaid
from ..process import ending


def _make_time(time: ModuleType) -> ModuleType:
    return overlaid(time, sleep=ending.sleep)


def _observe_reload(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    ending.leave_instead_of_reload()
    return wrapped(*args, **kwargs)


_MODULE = "django.utils.autoreload"
PATCHES = (
    Wrap(_MODULE, "trigger_reload", Capability.ENDING, _observe_reload, ("filename",)),
    Overlay(_MODULE, "time", Capability.ENDING, _make_time, ("sleep",)),
)
