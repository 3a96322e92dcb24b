"""flask.app: the route of each request.

Flask makes a URL adapter for each request, before it looks for the route. The request object is kept, and has the
route when the response is done. The signal ``request_started`` would say it too, but takes 3 % of the requests per
second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..lifecycle import costs
from ..patching import Capability, Decorate


def _watch_create(create: Callable[..., Any]) -> Callable[..., Any]:
    def watched(app: Any, request: Any) -> Any:
        __traceback_hide__ = True
        if request is not None:  # None: for an application context without a request
            costs.begin(request.environ, lambda: _details(request), lambda: _is_static(request))
        return create(app, request)

    return watched


def _details(request: Any) -> costs.Details:
    return costs.Details(route=None if request.url_rule is None else request.url_rule.rule)


def _is_static(request: Any) -> bool:
    rule = request.url_rule
    return rule is not None and rule.endpoint.rpartition(".")[2] == "static"


PATCHES = (Decorate("flask.app", "Flask.create_url_adapter", Capability.COSTS, _watch_create),)
