"""flask: exceptions that Flask turns into a response with status 500, or passes to the debugger.

Flask sends ``got_request_exception`` for each exception that has no error handler of its own, even if an
``errorhandler(500)`` then makes the page. If the exception is an HTTPException, TRAP_HTTP_EXCEPTIONS or
TRAP_BAD_REQUEST_ERRORS (on in debug mode) has trapped it. It is a response that was raised on purpose.
"""

from __future__ import annotations

from typing import Any

from ..lifecycle import applications, requests
from ..patching import Capability, Connect, Register


def _receive(sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
    from flask import request
    from werkzeug.exceptions import HTTPException

    known = requests.of(request.environ)
    if exception is None or known is None:
        return
    if isinstance(exception, HTTPException):
        known.exempt(exception)
    elif not _is_raised_again(sender):
        known.note(exception, "flask")


def _receive_for_response(sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
    from flask import request
    from werkzeug.exceptions import HTTPException

    if exception is None or isinstance(exception, HTTPException) or _is_raised_again(sender):
        return
    applications.note_before_response(request.environ, exception)


def _is_raised_again(app: Any) -> bool:
    """Whether Flask raises exceptions again instead of answering them.

    Then a WSGI middleware may still handle the exception. If none does, the server or the debugger reports it.
    """
    propagate = app.config["PROPAGATE_EXCEPTIONS"]
    return bool(app.testing or app.debug if propagate is None else propagate)


ENTRY_PATCHES = (Register("flask.app", "Flask", Capability.ERRORS, lambda _: "flask", requests.frameworks),)
PATCHES = (Connect("flask.signals", "got_request_exception", Capability.ERRORS, _receive),)
APPLICATION_PATCHES = (
    Connect("flask.signals", "got_request_exception", Capability.EXC_INFO, _receive_for_response),
)
