"""werkzeug._reloader: the reloaders' loops, which hold the worker's main thread."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..patching import Capability, Overlay, Wrap, overlaid
from ..process import ExitStatus, Leaving, ending


def _make_time(time: ModuleType) -> ModuleType:
    return overlaid(time, sleep=ending.sleep)


def _observe_run(wrapped: Callable[..., Any], reloader: Any, args: Any, kwargs: Any) -> Any:
    # From Werkzeug 3.1 the watchdog loop waits for an event, and leaves with the status that means
    # "reload" once it is set. Before, it sleeps, as the other loop does.
    wake = getattr(getattr(reloader, "should_reload", None), "set", None)
    if wake is not None:
        ending.on_request(wake)
    try:
        return wrapped(*args, **kwargs)
    except SystemExit as error:
        # To read the code of our own exit would count as its arrival.
        if not isinstance(error, Leaving) and error.code == ExitStatus.RELOAD:
            ending.leave_instead_of_reload()
        raise


_MODULE = "werkzeug._reloader"
PATCHES = (
    Overlay(_MODULE, "time", Capability.ENDING, _make_time, ("sleep",)),
    Wrap(_MODULE, "ReloaderLoop.run", Capability.ENDING, _observe_run, ("reloader",)),
    Wrap(_MODULE, "WatchdogReloaderLoop.run", Capability.ENDING, _observe_run, ("reloader",)),
)
