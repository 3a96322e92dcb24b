"""django_extensions.management.technical_response: what runserver_plus shows in place of Django's debug page.

It raises every exception again, for the Werkzeug debugger, and with it the ones that Django answers
with status 400. The debugger shows those as a 500; they are no errors of the application all the same.
"""

from __future__ import annotations

from typing import Any

from .. import requests
from ..connections import frames
from ..patching import Capability, Enlist


def _is_client_error(raise_again: Any) -> requests.Dismissal:
    from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
    from django.http import Http404
    from django.http.multipartparser import MultiPartParserError

    client_errors = (BadRequest, Http404, MultiPartParserError, PermissionDenied, SuspiciousOperation)
    code = raise_again.__code__

    def dismisses(error: BaseException) -> bool:
        return isinstance(error, client_errors) and any(
            frame.f_code is code for frame in frames(error.__traceback__)
        )

    return dismisses


PATCHES = (
    Enlist(
        "django_extensions.management.technical_response",
        "null_technical_500_response",
        Capability.ERRORS,
        _is_client_error,
        requests.dismissals,
    ),
)
