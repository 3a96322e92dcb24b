"""A server that answers every request with the failure, on the session's own socket, while no worker runs.

It is one thread with an event loop, so clients that send half a request, or read slowly, need few resources.

Limits: HTTP/1 only; each connection carries one request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress

from .request import Request, event

_MAX_HEAD = 64 * 1024  # bytes of a request's head
_HEAD_LIMIT = 10.0  # seconds for a client to send the head
# After the response, the bytes that the client still sends are read for this many seconds. Closing a socket with
# unread bytes resets the connection, and the client loses the end of the response.
_DRAIN_LIMIT = 30.0
_TLS_DRAIN_LIMIT = 1.0
_STOP_LIMIT = 5.0  # seconds for the event loop to act
_LINGER = 0.1  # seconds for the last bytes to be sent
_ACCEPT_PAUSE = 0.5  # seconds until the next attempt to accept, if the system has no descriptor left
# Connections that may wait to be accepted. A reload may take seconds, and no client may be lost meanwhile. The
# system may have a lower limit, such as net.core.somaxconn.
BACKLOG = 1024

Respond = Callable[[Request], bytes | None]  # None: the client gets the stream of events
_MAX_STREAMS = 200


class PageServer:
    """Accepts connections between ``open`` and ``close``. Connections that it has accepted still get an answer."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._respond: Respond | None = None
        self._is_open = False
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself does not keep them alive

    def open(self, respond: Respond) -> None:
        """Begin to answer each request with what ``respond`` returns. None stands for the stream of events."""
        self._respond = respond
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop()
            # The default handler prints a traceback for each client that does not speak TLS.
            self._loop.set_exception_handler(lambda loop, context: None)
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="devpatch-page-server", daemon=True
            )
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()

    def close(self) -> None:
        """Stop accepting. New connections wait for the next worker."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_STOP_LIMIT)
            # The event loop made it non-blocking. On some systems, a worker's accepted sockets would inherit that.
            self._listener.setblocking(True)

    def notify(self, name: str, text: str, *, is_last: bool) -> None:
        """Send the event ``name`` with ``text`` to the open pages. ``is_last``: then close their connections."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._send, event(name, text), is_last)

    def end(self) -> None:
        """Send the remaining bytes within ``_LINGER`` s, close the connections of the pages, and stop."""
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._send, b"", True)
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(asyncio.sleep(_LINGER), self._loop).result(_STOP_LIMIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_LIMIT)
        if not self._loop.is_running():
            self._loop.close()
        self._loop = None

    def _send(self, data: bytes, is_last: bool) -> None:
        for writer in tuple(self._streams):
            writer.write(data)
            if is_last:
                self._streams.discard(writer)
                writer.close()

    # asyncio's own server is not used, because it loses connections that it accepts while it closes.

    async def _open(self) -> None:
        self._is_open = True
        self._listener.setblocking(False)
        self._watch()

    async def _close(self) -> None:
        self._is_open = False
        asyncio.get_running_loop().remove_reader(self._listener)

    def _watch(self) -> None:
        if self._is_open and self._loop is not None:
            self._loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        assert self._loop is not None
        try:
            connection, _address = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # There are too many open connections at the moment.
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_ACCEPT_PAUSE, self._watch)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_MAX_HEAD)
        protocol = asyncio.StreamReaderProtocol(reader)
        with suppress(OSError, asyncio.TimeoutError, ssl.SSLError):
            transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self._tls)
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                await self._answer(reader, writer)
            finally:
                writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = Request.parse(await _read_head(reader))
        if request is None or self._respond is None:
            return  # The client sent no request. Browsers do that with connections that they open in advance.
        response = self._respond(request)
        if response is None:
            await self._stream(request, reader, writer)
            return
        writer.write(response)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            await asyncio.wait_for(_read_on(reader), _DRAIN_LIMIT)
        elif request.announces_body:
            # TLS can't close only one direction, and clients may wait for the close.
            await asyncio.wait_for(_read_on(reader), _TLS_DRAIN_LIMIT)

    async def _stream(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._streams) < _MAX_STREAMS:
            writer.write(request.begin_events())
            self._streams.add(writer)
            try:
                await _read_on(reader)  # until the client leaves, or the last event is sent
            finally:
                self._streams.discard(writer)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes up to the empty line, or fewer if the client stops before it. The body may follow."""
    head = bytearray()

    async def read() -> None:
        while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) < _MAX_HEAD:
            data = await reader.read(_MAX_HEAD)
            if not data:
                break
            head.extend(data)

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), _HEAD_LIMIT)
    return bytes(head)


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(_MAX_HEAD):
        pass
