"""In debug mode, Dash handles every exception itself. ``strict`` stops its server, and 1 says what ``strict`` does."""

from __future__ import annotations

import json

import pytest
from test_failfast_strict import STRICT
from test_messages import messages_of

pytestmark = pytest.mark.long
APP = """import sys
from dash import Dash, Input, Output, dcc, html
app = Dash(__name__)
app.layout = html.Div([dcc.Input(id="a"), html.Div(id="b")])
@app.server.get("/ok/")
def ok(): return "ok"
@app.callback(Output("b", "children"), Input("a", "value"))
def update(value):
    if value == "boom": raise ValueError("boom in a callback")
    return value
app.run(port=int(sys.argv[1]), debug="debug" in sys.argv)
"""
HINT = "DEVPATCH_FAILFAST=strict stops it at those too"


@pytest.fixture
def serve_dash(serve_project):
    pytest.importorskip("dash")

    def serve(*arguments, **variables):
        return serve_project({"app.py": APP}, "app.py", "{port}", *arguments, **variables)

    return serve


def call_back(server, value):
    """Do what Dash's page does when the input changes."""
    call = {
        "output": "b.children",
        "outputs": {"id": "b", "property": "children"},
        "inputs": [{"id": "a", "property": "value", "value": value}],
        "changedPropIds": ["a.value"],
        "parsedChangedPropsIds": ["a.value"],
    }
    headers = ["Content-Type: application/json"]
    return server.get(
        "/_dash-update-component", method="POST", body=json.dumps(call).encode(), headers=headers
    )


def assert_stopped(server):
    response = call_back(server, "boom")
    assert response.status == 500
    assert f"Content-Length: {len(response.body)}" in response.headers
    assert server.exit_status() == 1, server.stderr
    server.assert_nothing_left()
    assert any("ValueError: boom in a callback" in line for line in messages_of(server)), server.stderr


def test_strict_stops_it_in_debug_mode(serve_dash):
    server = serve_dash("debug", **STRICT)
    assert call_back(server, "fine").status == 200
    assert_stopped(server)


def test_otherwise_it_goes_on_and_says_what_strict_does(serve_dash):
    server = serve_dash("debug", DEVPATCH_FAILFAST="1")
    for _ in range(2):
        assert call_back(server, "boom").status == 500
    assert call_back(server, "fine").status == 200
    _start, *lines = messages_of(server)
    assert all(line.endswith(HINT) for line in lines), lines
    assert any("handles every exception" in line for line in lines), lines
    assert sum("a handler answered ValueError" in line for line in lines) == 1


def test_without_debug_mode_it_has_no_such_handler(serve_dash):
    server = serve_dash(DEVPATCH_FAILFAST="1")
    assert len(messages_of(server)) == 1
    assert_stopped(server)
