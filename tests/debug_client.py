"""A client of debugpy: it speaks the Debug Adapter Protocol over a socket, as editors do."""

from __future__ import annotations

import json
import queue
import socket
import threading

from harness import TIMEOUT, wait_for


class DebuggerIsSilent(Exception):
    """The debugger has accepted a connection, and answers nothing. That happens on a machine under heavy load."""


class DebugClient:
    """One debugged process. ``events`` are the names and bodies of the events that came, in their order."""

    def __init__(self, port, arguments=None):
        """Connect and attach. ``arguments`` are those of the attach request, for a child of a debugged process."""
        self.events = []
        self._port = port
        self._responses: queue.Queue = queue.Queue()
        self._sequence = 0
        self._connect()
        self._send("attach", arguments or {"justMyCode": True, "subProcess": True})
        self.wait_for_event("initialized")

    def _connect(self):
        """Connect and initialize. Raises DebuggerIsSilent."""
        self._connection = wait_for(self._open, f"a debugger at port {self._port}")
        threading.Thread(target=self._read, args=(self._connection,), daemon=True).start()
        try:
            self.request("initialize", adapterID="test", pathFormat="path")
        except queue.Empty:
            raise DebuggerIsSilent from None

    def _open(self):
        try:
            connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        except OSError:
            return None
        connection.settimeout(None)
        return connection

    def set_breakpoint(self, path, line):
        """Stop at a line of a file, and let the process go on until then."""
        source = {"path": str(path)}
        self.request("setBreakpoints", source=source, breakpoints=[{"line": line}])
        self.request("configurationDone")

    def wait_for_event(self, name, count=1):
        """Wait until ``count`` events with this name have come, and return the body of the last one."""
        found = wait_for(
            lambda: [body for event, body in self.events if event == name][count - 1 : count],
            lambda: f"the event {name} in {self.events}",
        )
        return found[0]

    def go_on(self, stopped):
        """Let the thread of a ``stopped`` event go on."""
        self.request("continue", threadId=stopped["threadId"])

    def evaluate(self, stopped, expression):
        """Return the value of an expression where the thread stands."""
        frames = self.request("stackTrace", threadId=stopped["threadId"])["stackFrames"]
        return self.request("evaluate", expression=expression, frameId=frames[0]["id"])["result"]

    def request(self, command, **arguments):
        """Send a request and return the body of its response."""
        number = self._send(command, arguments)
        while True:
            response = self._responses.get(timeout=TIMEOUT)
            if response["request_seq"] == number:
                assert response["success"], response
                return response.get("body")

    def _send(self, command, arguments):
        self._sequence += 1
        message = {"seq": self._sequence, "type": "request", "command": command, "arguments": arguments}
        data = json.dumps(message).encode()
        self._connection.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        return self._sequence

    def _read(self, connection):
        stream = connection.makefile("rb")
        while line := stream.readline():
            name, _, value = line.decode().partition(":")
            if name.lower() == "content-length":
                length = int(value)
            elif not line.strip():
                message = json.loads(stream.read(length))
                if message["type"] == "event":
                    self.events.append((message["event"], message.get("body") or {}))
                elif message["type"] == "response":
                    self._responses.put(message)
