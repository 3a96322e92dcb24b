"""A server that answers every request with the failure, on the session's own socket, while no worker lives.

It is one thread with an event loop, so clients that send half a request, or read slowly, cost next to nothing.

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

# What a request's head may be, in bytes, and the seconds that a client has to send it.
_LONGEST_HEAD = 64 * 1024
_HEAD_LIMIT = 10.0
# After the response, what the client still sends is read for so many seconds. A close with unread bytes
# resets the connection, and the client loses the end of the response.
_DRAIN_LIMIT = 30.0
_TLS_DRAIN_LIMIT = 1.0
_STOP_LIMIT = 5.0
_LINGER = 0.1  # seconds for the last bytes to leave
_PAUSE = 0.5  # seconds until the next try to accept, if the system has no descriptor left
BACKLOG = 128  # connections that wait to be accepted, as Werkzeug has it

Respond = Callable[[Request], bytes | None]  # None: the client gets the stream of events
_MOST_STREAMS = 200


class PageServer:
    """Accepts connections between ``open`` and ``close``. Those that it has accepted still get their answer."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self._listener = listener
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop | None = None
        self._respond: Respond | None = None
        self._is_open = False
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps none alive

    def open(self, respond: Respond) -> None:
        """Begin to answer each request with the bytes that ``respond`` returns for it."""
        self._respond = respond
        if self._loop is None:
            self._loop = asyncio.SelectorEventLoop()
            # It would print a traceback for each client that speaks no TLS.
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
            # The event loop needs a non-blocking one. On some systems a worker's accepted sockets would inherit that.
            self._listener.setblocking(True)

    def notify(self, name: str, *, is_last: bool) -> None:
        """Send an event to the open pages. After the last one their connections are closed."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._send, event(name), is_last)

    def end(self) -> None:
        """Send what is left, close the pages' connections, and stop."""
        if self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._send, b"", True)
        self.finish()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_LIMIT)
        if not self._loop.is_running():
            self._loop.close()
        self._loop = None

    def finish(self) -> None:
        """Wait until everything was sent. The process is about to become another one."""
        if self._loop is not None:
            with suppress(TimeoutError):
                asyncio.run_coroutine_threadsafe(asyncio.sleep(_LINGER), self._loop).result(_STOP_LIMIT)

    def _send(self, data: bytes, is_last: bool) -> None:
        for writer in tuple(self._streams):
            writer.write(data)
            if is_last:
                self._streams.discard(writer)
                writer.close()

    # asyncio's own server loses connections that it accepts in the moment of its close.

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
        except OSError:  # There are too many of them at the moment.
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_PAUSE, self._watch)
            return
        connection.setblocking(False)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(_LONGEST_HEAD)
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
            return  # It closed without a request. Browsers do that with connections that they make in advance.
        response = self._respond(request)
        if response is None:
            await self._stream(request, reader, writer)
            return
        writer.write(response)
        await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            await asyncio.wait_for(_read_on(reader), _DRAIN_LIMIT)
        elif request.announces_body:  # TLS has no such end, and clients may wait for it.
            await asyncio.wait_for(_read_on(reader), _TLS_DRAIN_LIMIT)

    async def _stream(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._streams) < _MOST_STREAMS:
            writer.write(request.begin_events())
            self._streams.add(writer)
            try:
                await _read_on(reader)  # until the client leaves, or the last event was sent
            finally:
                self._streams.discard(writer)


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Return the bytes up to the empty line, or fewer if the client stops before it."""
    head = bytearray()

    async def read() -> None:
        while b"\r\n\r\n" not in head and b"\n\n" not in head and len(head) < _LONGEST_HEAD:
            data = await reader.read(_LONGEST_HEAD)
            if not data:
                break
            head.extend(data)

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(read(), _HEAD_LIMIT)
    return bytes(head)


async def _read_on(reader: asyncio.StreamReader) -> None:
    while await reader.read(_LONGEST_HEAD):
        pass
