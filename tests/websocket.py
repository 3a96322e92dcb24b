"""A client for WebSockets (RFC 6455), as much as the tests need: short texts and close codes."""

from __future__ import annotations

import base64
import os
import struct

from harness import receive_until

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


class WebSocket:
    """A connection. ``status`` is that of the handshake; 101 means that the WebSocket is open."""

    def __init__(self, server, path: str) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        headers = ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
        self.connection = server.send(path, headers=[*headers, "Sec-WebSocket-Version: 13"])
        head = receive_until(self.connection, lambda data: b"\r\n\r\n" in data)
        self.status = int(head.split()[1])
        self._unread = head.partition(b"\r\n\r\n")[2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, text: str) -> None:
        self._send(_TEXT, text.encode())

    def close(self, code: int = 1000) -> None:
        self._send(_CLOSE, struct.pack("!H", code))

    def _send(self, opcode: int, payload: bytes) -> None:
        assert len(payload) < 126
        # A mask of zeros leaves the payload as it is.
        self.connection.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload)

    def receive(self) -> str | int:
        """Return the next text, or the code with which the server closes. A close is answered."""
        while True:
            opcode, payload = self._frame()
            if opcode == _TEXT:
                return payload.decode()
            if opcode == _CLOSE:
                code: int = struct.unpack("!H", payload[:2])[0]
                self.close(code)
                return code
            if opcode == _PING:
                self._send(_PONG, payload)

    def _frame(self) -> tuple[int, bytes]:
        first, length = self._read(2)
        assert length < 126
        return first & 0x0F, self._read(length)

    def _read(self, count: int) -> bytes:
        while len(self._unread) < count:
            chunk = self.connection.recv(4096)
            assert chunk, "closed without a close frame"
            self._unread += chunk
        data, self._unread = self._unread[:count], self._unread[count:]
        return data
