"""django.utils.autoreload: the reloader's parent, which starts workers, and its loop in the worker's main thread.

Django serves from a daemon thread and sleeps in the main one, so an end that the serving thread carried
out would leave the loop running. The loop's ``time.sleep`` is made to leave when an end was asked for.

Limits: the Watchman reloader waits in its client, for up to five seconds; there the watchdog ends it.
"""

from __future__ import annotations

import os
import socket
import socketserver
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .. import serving, supervision, worker
from ..patching import Capability, Overlay, Wrap, overlaid
from ..process import ending
from . import django_runserver

_MODULE = "django.utils.autoreload"


def _make_time(time: ModuleType) -> ModuleType:
    return overlaid(time, sleep=ending.sleep)


def _observe_reload(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    ending.leave_instead_of_reload()
    try:
        return wrapped(*args, **kwargs)
    except SystemExit:
        serving.reloading()
        raise


def _observe_run(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    if not worker.is_supervised():
        return wrapped(*args, **kwargs)
    main, *rest = args
    return supervision.run_worker(wrapped, sys.modules[_MODULE], serving.loading(main), *rest, **kwargs)


def _observe_restart(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    command = django_runserver.command
    if command is None or not supervision.is_taken_over():
        return wrapped(*args, **kwargs)
    autoreload: Any = sys.modules[_MODULE]
    return supervision.run(
        supervision.Session(
            command=[str(part) for part in autoreload.get_child_arguments()],
            environ={**os.environ, autoreload.DJANGO_AUTORELOAD_ENV: "true"},
            address=[command.addr, int(command.port), bool(command.use_ipv6)],
            listen=_listen,
        )
    )


def _listen(address: supervision.Address | None) -> socket.socket:
    assert address is not None
    host, port, ipv6 = address

    class Listener(socketserver.TCPServer):
        address_family = socket.AF_INET6 if ipv6 else socket.AF_INET
        allow_reuse_address = True  # as Django's server
        allow_reuse_port = getattr(django_runserver.command.server_cls, "allow_reuse_port", False)

    return Listener((host, port), socketserver.BaseRequestHandler).socket


PATCHES = (
    Wrap(_MODULE, "trigger_reload", Capability.ENDING, _observe_reload, ("filename",)),
    Overlay(_MODULE, "time", Capability.ENDING, _make_time, ("sleep",)),
    Wrap(_MODULE, "run_with_reloader", Capability.WORKERS, _observe_run, ("main_func",)),
    Wrap(_MODULE, "restart_with_reloader", Capability.WORKERS, _observe_restart),
)
