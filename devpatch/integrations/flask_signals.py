"""flask: exceptions that Flask turns into a response with status 500, or hands to the debugger.

``got_request_exception`` is sent for each exception that no error handler was registered for, also where
an ``errorhandler(500)`` then makes the page. An HTTPException that arrives there was trapped by
TRAP_HTTP_EXCEPTIONS or TRAP_BAD_REQUEST_ERRORS (on in debug mode): a response, raised on purpose.
"""

from __future__ import annotations

from typing import Any

from .. import requests
from ..connections import frames
from ..patching import Capability, Connect, Enlist


def _receive(sender: Any = None, exception: BaseException | None = None, **_: Any) -> None:
    if exception is None or propagates(sender):
        return  # Where it propagates, a middleware may still handle it; if none does, the server reports it.
    from flask import request

    observed = requests.of(request.environ)
    if observed is not None:
        observed.note(exception, "flask")


def propagates(app: Any) -> bool:
    """Whether Flask raises exceptions again instead of answering them; then a middleware may still handle them."""
    propagate = app.config["PROPAGATE_EXCEPTIONS"]
    return bool(app.testing or app.debug if propagate is None else propagate)


def _is_trapped_response(flask_class: Any) -> requests.Dismissal:
    from werkzeug.exceptions import HTTPException

    code = flask_class.wsgi_app.__code__

    def dismisses(error: BaseException) -> bool:
        return isinstance(error, HTTPException) and any(
            frame.f_code is code for frame in frames(error.__traceback__)
        )

    return dismisses


# A response that was raised on purpose, and trapped, is no error.
TRAPPED_RESPONSE = Enlist("flask.app", "Flask", Capability.ERRORS, _is_trapped_response, requests.dismissals)
ENTRY_PATCHES = (Enlist("flask.app", "Flask", Capability.ERRORS, lambda _: "flask", requests.frameworks),)
PATCHES = (
    Connect("flask.signals", "got_request_exception", Capability.ERRORS, _receive),
    TRAPPED_RESPONSE,
)
