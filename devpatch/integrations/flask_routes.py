"""flask: the route of each request. Flask sends ``request_started`` when the route is known."""

from __future__ import annotations

from typing import Any

from ..lifecycle import costs
from ..patching import Capability, Connect


def _receive(sender: Any = None, **_: Any) -> None:
    from flask import request

    rule, endpoint = request.url_rule, request.endpoint or ""
    details = costs.Details(
        route=None if rule is None else rule.rule, is_static=endpoint.rpartition(".")[2] == "static"
    )
    costs.begin(request.environ, lambda: details)


PATCHES = (Connect("flask.signals", "request_started", Capability.COSTS, _receive),)
