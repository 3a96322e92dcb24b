"""The use of the error page in a browser: links to the editor, plain source, a load that takes long."""

from __future__ import annotations

import pytest
from breakages import save
from projects import FLASK_RUN, flask_files
from servers import BY_ID
from test_failsafe import ON, stop_with_ctrl_c, wait_until_broken
from test_failsafe_page import CHAIN, open_page, problems_of, wait_for_text

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    ("editor", "url"),
    [
        ("vscode", "vscode://file/on/my/machine/site_under_test/views.py:7"),
        ("x-mine://go?{line}&f={path}", "x-mine://go?7&f=/on/my/machine/site_under_test/views.py"),
        ("", None),
    ],
)
def test_a_link_opens_the_line_in_the_editor(serve_copy, browser, editor, url):
    mode = BY_ID.get("runserver-reload") or pytest.skip("no Django")
    server, source = serve_copy(mode, **ON)
    folder = str(server.directory)
    server.kill()
    server.environ.update(DEVPATCH_EDITOR=editor, DEVPATCH_EDITOR_PATHS=f"{folder}=/on/my/machine")
    server.start().wait_until_ready()
    save(source, CHAIN + source.read_text())
    wait_until_broken(server, "ValueError")
    page = open_page(browser, server)
    links = page.locator("header a.open")
    assert links.count() == (url is not None)
    assert url is None or links.get_attribute("href") == url


def test_without_pygments_the_source_is_plain(serve_project, browser):
    pytest.importorskip("flask")
    files = {**flask_files(), "pygments/__init__.py": "raise ImportError('not here')"}
    server = serve_project(files, *FLASK_RUN, "--debug", **ON, PYTHONPATH=".")
    save(server.directory / "app.py", "def broken(:\n")
    wait_until_broken(server, "SyntaxError")
    page = open_page(browser, server)
    assert page.locator(".source:visible", has_text="def broken(:").count()
    assert not page.locator(".source .k").count()
    assert not problems_of(page)
    stop_with_ctrl_c(server)


def test_it_says_what_a_slow_load_imports(serve_project, browser):
    """
    1. The page is open. A change starts code that takes long to import a module.
    2. The page says that the code still loads, and which module. Then it shows the application.
    """
    pytest.importorskip("flask")
    slow = "import os, time\nif os.path.exists('slow'): time.sleep(9)\n"
    files = flask_files(slow=slow, head="import slow")
    server = serve_project(files, *FLASK_RUN, "--debug", **ON)
    save(server.directory / "app.py", "(\n")
    wait_until_broken(server, "SyntaxError")
    page = open_page(browser, server)
    (server.directory / "slow").touch()
    save(server.directory / "app.py", files["app.py"])
    wait_for_text(page, "The code still loads: it is importing slow.")
    wait_for_text(page, "ok")
    assert not problems_of(page)
    stop_with_ctrl_c(server)
