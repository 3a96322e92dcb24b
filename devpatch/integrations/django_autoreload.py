"""django.utils.autoreload: the reloader's loop, which holds the worker's main thread.

Django serves from a daemon thread and sleeps in the main one, so an end that the serving thread carried
out would leave the loop running. The loop's ``time.sleep`` is made to leave when an end was asked for.

Limits: the Watchman reloader waits in its client, for up to five seconds; there the watchdog ends it.
"""

from __future__ import annotations

from typing import Any

from ..patching import Capability, Overlaid, Overlay
from ..process import ending


def _make_time(time: Any) -> Overlaid:
    return Overlaid(time, sleep=ending.sleep)


PATCHES = (Overlay("django.utils.autoreload", "time", Capability.ENDING, _make_time, ("sleep",)),)
