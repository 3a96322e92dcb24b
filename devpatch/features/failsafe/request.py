"""The request that is answered with a failure, as far as the answer depends on it, and the response's bytes."""

from __future__ import annotations

import email.utils
import http.client
import io
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Request:
    """A request's method, its target, and its headers; what could not be read is empty."""

    method: str
    target: str
    headers: http.client.HTTPMessage

    @classmethod
    def parse(cls, head: bytes) -> Request | None:
        """Return the request that begins with ``head``; None where nothing came. Never raises."""
        if not head:
            return None
        line, _, rest = head.partition(b"\n")
        words = line.decode("latin-1").split()
        try:
            headers = http.client.parse_headers(io.BytesIO(rest))
        except http.client.HTTPException:
            headers = http.client.HTTPMessage()
        return cls(words[0] if words else "", words[1] if len(words) > 1 else "", headers)

    @property
    def announces_body(self) -> bool:
        """Whether more than the head is to come."""
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers

    def respond(
        self, status: HTTPStatus, content: str, content_type: str = "text/plain; charset=utf-8"
    ) -> bytes:
        """Return a whole response with ``content`` as its body."""
        body = content.encode("utf-8", "backslashreplace")
        headers = {
            "Date": email.utils.formatdate(usegmt=True),
            "Content-Type": content_type,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
        }
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{key}: {headers[key]}" for key in headers)]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return head if self.method == "HEAD" else head + body
