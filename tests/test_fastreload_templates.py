"""With fast reload, a template that is saved is served anew without a reload, as Django's reloader does it."""

from __future__ import annotations

import time

import pytest
from fastreload import EVENTS, FAST
from harness import wait_for
from projects import RUNSERVER, django_files

TEMPLATES = (
    "import pathlib\nTEMPLATES = [{'BACKEND': 'django.template.backends.django.DjangoTemplates', "
    "'DIRS': [pathlib.Path(__file__).parent / 'templates']}]"
)


def serve_template(serve_project, after, text, variables):
    """Serve a project whose page is the template page.html, with this text, and the value of ``after``."""
    pytest.importorskip("django")
    pytest.importorskip("watchfiles")
    views = (
        "import os as _os\nfrom django.template.loader import render_to_string as _render\n"
        f"def page(request): return _Response(_render('page.html') + {after})\n"
    )
    files = {**django_files(settings=TEMPLATES, views=views), "templates/page.html": text}
    return serve_project(files, *RUNSERVER, **variables)


@pytest.mark.long
def test_a_template_is_served_anew_without_a_reload(serve_project):
    server = serve_template(serve_project, "str(_os.getpid())", "old ", EVENTS)
    old = server.get("/page/").body.split()
    assert old[0] == b"old"
    time.sleep(1.5)
    (server.directory / "templates/page.html").write_text("new ")
    wait_for(lambda: server.get("/page/").body.split() == [b"new", old[1]], lambda: server.stderr)


@pytest.mark.long
@pytest.mark.parametrize("variables", [EVENTS, FAST], ids=["events", "standby"])
def test_a_template_that_is_saved_just_after_a_reload(serve_project, variables):
    """The new worker has used the old text, and its reloader's first look comes after that."""
    server = serve_template(serve_project, "'1'", "text 0 ", variables)
    (source,) = [path for path in server.directory.rglob("*.py") if "def page" in path.read_text()]
    template = server.directory / "templates/page.html"
    for number in range(1, 4):
        time.sleep(1.5)
        source.write_text(source.read_text().replace(f"+ '{number}'", f"+ '{number + 1}'"))
        version = str(number + 1).encode()
        wait_for(lambda: server.get("/page/").body.split()[-1] == version, lambda: server.stderr)  # noqa: B023
        template.write_text(f"text {number} ")
        text = f"text {number} {number + 1}".encode()
        wait_for(lambda: server.get("/page/").body == text, lambda: server.stderr)  # noqa: B023
