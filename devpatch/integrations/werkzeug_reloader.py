"""werkzeug._reloader: the reloaders' loops, which hold the worker's main thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..patching import Capability, Overlaid, Overlay, Wrap
from ..process import ending


def _make_time(time: Any) -> Overlaid:
    return Overlaid(time, sleep=ending.sleep)


def _observe_watchdog(wrapped: Callable[..., Any], reloader: Any, args: Any, kwargs: Any) -> Any:
    # This loop waits for an event, and leaves with the status that means "reload" once it is set.
    ending.on_request(reloader.should_reload.set)
    try:
        return wrapped(*args, **kwargs)
    except SystemExit:
        ending.leave_if_requested()
        raise


PATCHES = (
    Overlay("werkzeug._reloader", "time", Capability.ENDING, _make_time, ("sleep",)),
    Wrap(
        "werkzeug._reloader", "WatchdogReloaderLoop.run", Capability.ENDING, _observe_watchdog, ("reloader",)
    ),
)
