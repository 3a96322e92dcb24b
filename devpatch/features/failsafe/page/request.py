"""Parse a request that is answered with the failure, and build the bytes of the response."""

from __future__ import annotations

import email.utils
import http.client
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True)
class Request:
    """A request's method, target and headers. A part that could not be parsed is empty."""

    method: str
    target: str
    headers: http.client.HTTPMessage

    @classmethod
    def parse(cls, head: bytes) -> Request | None:
        """Return the request that begins with ``head``, or None if that is empty. Never raises."""
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
        """Whether the client sends more than the head."""
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    @property
    def repeats_safely(self) -> bool:
        """Whether the method is safe, so that a reload changes nothing (RFC 9110, section 9.2.1)."""
        return self.method in ("GET", "HEAD", "OPTIONS", "TRACE")

    def prefers(self, kinds: Sequence[str]) -> str:
        """Return the media type in ``kinds`` that the client prefers, or the last one if it names none of them."""
        weights: dict[str, float] = {}
        for part in ",".join(self.headers.get_all("Accept", [])).split(","):
            kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
            weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
            try:
                weights[kind] = max(float(weight), weights.get(kind, 0))
            except ValueError:
                continue
        named = [kind for kind in kinds if weights.get(kind, 0) > 0]
        return max(named, key=lambda kind: weights[kind], default=kinds[-1])

    def respond(
        self, status: HTTPStatus, content: str, content_type: str, headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Return a complete response with ``content`` as its body. HEAD gets no body."""
        body = content.encode("utf-8", "backslashreplace")
        named = {
            "Date": email.utils.formatdate(usegmt=True),
            "Content-Type": f"{content_type}; charset=utf-8",
            "Content-Length": str(len(body)),
            **_COMMON,
            **(headers or {}),
        }
        head = _head(status, named)
        return head if self.method == "HEAD" else head + body

    def begin_events(self) -> bytes:
        """Return the head of a stream of server-sent events (HTML standard, section 9.2)."""
        return _head(HTTPStatus.OK, {"Content-Type": "text/event-stream", **_COMMON})


_COMMON = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Connection": "close"}


def _head(status: HTTPStatus, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status.value} {status.phrase}", *(f"{key}: {headers[key]}" for key in headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def event(name: str, text: str) -> bytes:
    """Return one server-sent event. ``text`` is one line."""
    return f"event: {name}\ndata: {text}\n\n".encode("utf-8", "backslashreplace")
