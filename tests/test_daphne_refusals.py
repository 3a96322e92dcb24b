"""Daphne's runserver refuses to start where fail-fast can't see its requests."""

from __future__ import annotations

import pytest
from projects import RUNSERVER
from test_daphne import NORELOAD, ON, daphne_files, each_mode
from test_refusals import altered_copy, assert_refused

pytest.importorskip("django")
pytest.importorskip("daphne")
pytestmark = pytest.mark.long


@each_mode
def test_requests_that_can_not_be_seen(serve, mode, tmp_path):
    """All functions can be patched, but the server calls another one."""
    old = "    ### Utility\n"
    new = f"    create_unseen = create_application\n\n{old}"
    path = altered_copy("daphne", "server.py", old, new, tmp_path)
    protocol = tmp_path / "daphne" / "http_protocol.py"
    protocol.write_text(protocol.read_text().replace("server.create_application", "server.create_unseen"))
    server = serve(mode, wait=False, **ON, PYTHONPATH=path)
    assert_refused(
        server, "fail-fast can't guard daphne", "its requests can't be seen (daphne.server.Server)"
    )


def test_a_function_that_is_gone(serve, tmp_path):
    path = altered_copy("daphne", "server.py", "protocol_disconnected", "protocol_gone", tmp_path)
    for name in ("http_protocol.py", "ws_protocol.py"):
        file = tmp_path / "daphne" / name
        file.write_text(file.read_text().replace("protocol_disconnected", "protocol_gone"))
    server = serve(NORELOAD, wait=False, **ON, PYTHONPATH=path)
    assert_refused(server, "daphne.server.Server.protocol_disconnected", "is not there")


def test_a_command_that_serves_in_another_way(serve_project):
    command = "from daphne.management.commands.runserver import Command as Daphnes\n"
    command += "class Command(Daphnes):\n    def inner_run(self, *args, **options): raise SystemExit(9)\n"
    files = daphne_files("application = None\n", apps="'shop', 'daphne'")
    files["shop/management/__init__.py"] = files["shop/management/commands/__init__.py"] = ""
    files["shop/management/commands/runserver.py"] = command
    server = serve_project(files, *RUNSERVER, wait=False, **ON)
    assert_refused(server, "shop.management.commands.runserver.Command.inner_run", "replaces")
