"""The beginning of a JSON response to a call of fetch or XMLHttpRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_SHOWN = 300  # characters
_MAX_KEPT = 8192  # bytes of the headers and the body


def is_ajax(environ: Mapping[str, Any]) -> bool:
    """Whether a script of a page made the request."""
    return (
        environ.get("HTTP_X_REQUESTED_WITH") == "XMLHttpRequest"
        or environ.get("HTTP_SEC_FETCH_DEST") == "empty"
    )


class ResponseCopy:
    """Keeps the beginning of what is written to a connection."""

    def __init__(self, writer: Any) -> None:
        """Watch ``writer.write`` of this one object. Raises AttributeError if that is not possible."""
        self._writer = writer
        self._write = writer.write
        self._previous = vars(writer).get("write")
        self._data = bytearray()
        writer.write = self._keep_and_write

    def _keep_and_write(self, data: Any) -> Any:
        if len(self._data) < _MAX_KEPT:
            self._data += bytes(data[: _MAX_KEPT - len(self._data)])
        return self._write(data)

    def close(self) -> None:
        """Stop watching."""
        if self._previous is None:
            vars(self._writer).pop("write", None)
        else:
            self._writer.write = self._previous

    def json(self) -> str | None:
        """Return the beginning of the body, or None if it is not JSON in plain text."""
        head, _, body = bytes(self._data).partition(b"\r\n\r\n")
        fields = [line.lower() for line in head.split(b"\r\n")]
        types = [line.partition(b":")[2] for line in fields if line.startswith(b"content-type:")]
        is_json = any(b"application/json" in kind or b"+json" in kind for kind in types)
        if not is_json or any(line.startswith(b"content-encoding:") for line in fields):
            return None
        return " ".join(body.decode(errors="replace").split())[:_MAX_SHOWN]
