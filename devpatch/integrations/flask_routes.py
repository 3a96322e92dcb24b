"""flask: the route of each request. Flask sends ``request_started`` when the route is known."""

from __future__ import annotations

from typing import Any

from ..lifecycle import costs
from ..patching import Capability, Connect


def _receive(sender: Any = None, **_: Any) -> None:
    from flask import request

    proxy: Any = request
    current = proxy._get_current_object()
    rule = current.url_rule
    details = costs.Details(route=None if rule is None else rule.rule)
    is_static = rule is not None and rule.endpoint.rpartition(".")[2] == "static"
    costs.begin(current.environ, lambda: details, is_static)


PATCHES = (Connect("flask.signals", "request_started", Capability.COSTS, _receive),)
