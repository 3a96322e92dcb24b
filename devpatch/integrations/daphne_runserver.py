"""daphne.management.commands.runserver: the command that replaces Django's if daphne is one of the INSTALLED_APPS.

Django's command, from which it is derived, reports the start. This file says what daphne's command serves with.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from ..lifecycle import starts
from ..lifecycle.proof import Trial, prove_by
from ..patching import Capability, Register, Wrap

_MODULE = "daphne.management.commands.runserver"


def _describe(command: type) -> starts.Command:
    return starts.Command("daphne", command, sys.modules["daphne.server"].Server, _prove)


def _observe_inner_run(wrapped: Callable[..., Any], instance: Any, args: Any, options: dict[str, Any]) -> Any:
    if options.get("use_asgi", True):
        starts.expect_server()
    return wrapped(*args, **options)


def _prove() -> str | None:
    """Return why the requests of daphne can't be seen, or None if they can.

    Its own classes answer the requests, with a transport in memory and an event loop that is used only here.
    """
    return prove_by("daphne.server.Server", _send)


def _send(trial: Trial) -> None:
    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        trial.look(scope)
        if trial.error is not None:
            raise trial.error
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    server = sys.modules["daphne.server"].Server(application, endpoints=["none"])
    server.connections = {}
    loop = asyncio.new_event_loop()
    try:
        trial.watch(server, lambda server: loop.run_until_complete(_answer(server, trial)))
    finally:
        loop.close()


async def _answer(server: Any, trial: Trial) -> None:
    from daphne.http_protocol import HTTPFactory
    from twisted.internet.address import IPv4Address
    from twisted.internet.error import ConnectionDone
    from twisted.internet.testing import StringTransport
    from twisted.python.failure import Failure

    address = IPv4Address("TCP", "127.0.0.1", 0)
    channel = HTTPFactory(server).buildProtocol(address)
    channel.makeConnection(StringTransport(hostAddress=address, peerAddress=address))
    channel.dataReceived(f"GET {trial.path} HTTP/1.0\r\n\r\n".encode())
    (protocol, details), *_ = server.connections.items()
    await asyncio.wait([details["application_instance"]])
    await asyncio.sleep(0)  # for the callbacks of the end of the application
    if trial.error is not None:
        protocol.handle_exception(trial.error)  # Only a server that runs would do that, and log the error.
    channel.connectionLost(Failure(ConnectionDone()))
    details["application_instance"].cancelled() or details["application_instance"].exception()


ENTRY_PATCHES = (
    Register(_MODULE, "Command", Capability.ERRORS, _describe, starts.commands),
    Wrap(_MODULE, "Command.inner_run", Capability.START, _observe_inner_run, ("command",)),
)
