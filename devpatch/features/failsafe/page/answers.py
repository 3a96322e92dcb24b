"""Answer with the failure, as an HTML page, JSON or plain text, if the client may see it.

By DNS rebinding, a foreign web site can point its own name at this machine, and read the answers of a server here.
So the failure is shown only for host names that nobody else can own.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from http import HTTPStatus

from .... import console, switches
from ..failure import HEADER, Failure
from . import html, text
from .editor import Editor
from .request import Request

_HTML, _JSON, _TEXT = "text/html", "application/json", "text/plain"
# Names that no public DNS server resolves: RFC 6761, RFC 6762, ICANN's .internal.
_PRIVATE = (".localhost", ".local", ".test", ".internal")
_FOREIGN_NAME = (
    "The server's code is broken. The reason is shown only under an address of this machine.\n"
    "Open it by its IP address or as localhost, or see the terminal.\n"
)


def answer(request: Request, failure: Failure, folders: Sequence[str]) -> bytes | None:
    """Return the complete response, or None if the client gets the stream of events instead.

    A response is logged in the format of Django and http.server.
    """
    response = _answer(request, failure, folders)
    if response is not None:
        now = datetime.now().strftime("%d/%b/%Y %H:%M:%S")
        line = f"{request.method} {request.target} HTTP/1.1"
        size = len(response.partition(b"\r\n\r\n")[2])
        console.write(f'[{now}] "{line}" {int(HTTPStatus.INTERNAL_SERVER_ERROR)} {size}\n')
    return response


def _answer(request: Request, failure: Failure, folders: Sequence[str]) -> bytes | None:
    if not _is_private(request):
        return request.respond(HTTPStatus.INTERNAL_SERVER_ERROR, _FOREIGN_NAME, _TEXT)
    if request.path == html.EVENTS_PATH and request.method == "GET":
        return None
    kind = request.prefers((_HTML, _JSON, _TEXT))
    headers: dict[str, str] = {"Vary": "Accept", HEADER: "fail-safe"}
    if kind == _HTML:
        nonce = secrets.token_urlsafe(16)
        editor = Editor.of(switches.read(os.environ))
        content = html.render(failure, folders, request.repeats_safely, nonce, editor)
        headers["Content-Security-Policy"] = html.policy(nonce)
    elif kind == _JSON:
        content = json.dumps(as_json(failure, folders), indent=2) + "\n"
    else:
        content = text.render(failure)
    return request.respond(HTTPStatus.INTERNAL_SERVER_ERROR, content, kind, headers)


def as_json(failure: Failure, folders: Sequence[str]) -> dict[str, object]:
    """Return the failure as ``failure.schema.json`` describes it."""
    found = {
        "summary": failure.summary,
        "text": failure.text,
        "exceptions": failure.chain,
        "watched": list(folders),
    }
    return {name: console.plain_data(value) for name, value in found.items()}


def _is_private(request: Request) -> bool:
    hosts = request.headers.get_all("Host", [])
    # An absolute URL as the target contains another host name. Browsers do not send one.
    if len(hosts) != 1 or not request.target.startswith(("/", "*")):
        return False
    name = hosts[0].strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    name = name.rstrip(".")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(_HOST_NAME.fullmatch(name)) and ("." not in name or name.endswith(_PRIVATE))
    return True


_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
