"""The place that a failed load names: the user's own line, in the terminal and in each kind of answer."""

from __future__ import annotations

import importlib.resources
import json
import os
import sys

import pytest
from breakages import save
from harness import wait_for
from projects import FLASK_RUN, RUNSERVER, django_files, flask_files
from test_failsafe import ON, is_waiting, stop_with_ctrl_c, wait_until_broken
from test_messages import messages_of

pytestmark = pytest.mark.long
PLUS = ("manage.py", "runserver_plus", "127.0.0.1:{port}")
FLASK = ("-m", "flask", "--app", "{app}", "run", "--debug", "-p", "{{port}}")
WSGI = "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n"
HEAD = """WSGI_APPLICATION = "wsgi.application"
STATIC_URL = "static/"
# "shopp" and "urlz" in a comment
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["templates"]}]"""
LOGGING = """{
    "version": 1,
    "handlers": {"a": {"class": "logging.FilHandler"}},
}"""
# What in the settings is replaced by what, the wrong name, and what the answer begins with.
MISTAKES = (
    ('"shop"', '\n    "shopp"', '"shopp"', "ModuleNotFoundError: No module named 'shopp'"),
    ('"shop"', '"shop.apps.Shop"', '"shop.apps.Shop"', "ModuleNotFoundError: No module named 'shop.apps'"),
    ("= []", '= ["shop.mid.Shop"]', '"shop.mid.Shop"', "ModuleNotFoundError: No module named 'shop.mid'"),
    ("= []", '= ["django.test.Shop"]', '"django.test.Shop"', "AttributeError: module 'django.test' has no"),
    ('"urls"', '"urlz"', '"urlz"', "ModuleNotFoundError: No module named 'urlz'"),
    ("sqlite3", "sqlit3", '"django.db.backends.sqlit3"', "ModuleNotFoundError: No module named 'django.db"),
    ("wsgi.app", "wsgi.ap", '"wsgi.aplication"', "AttributeError: module 'wsgi' has no attribute 'aplic"),
    (
        "models.AutoField",
        "models.Auto",
        '"django.db.models.Auto"',
        "AttributeError: module 'django.db.models'",
    ),
    (
        "DEBUG =",
        f"LOGGING = {LOGGING}\nDEBUG =",
        '"logging.FilHandler"',
        "ModuleNotFoundError: No module named 'logging",
    ),
    (
        "DEBUG =",
        'AUTH_USER_MODEL = "shop.Nobody"\nDEBUG =',
        '"shop.Nobody"',
        "django.core.exceptions.ImproperlyConfigured: AUTH_USER_MODEL refers to model 'shop.Nobody'",
    ),
    (
        "DjangoTemplates",
        "DjangoTemplate",
        '"django.template.backends.django.DjangoTemplate"',
        "AttributeError: module 'django.template.backends.django' has no attribute 'DjangoTemplate'",
    ),
)
MODELS = "from django.db import models\nclass Item(models.Model): pass\n"
VIEWS = """
from django.contrib.auth import get_user_model as _get
from django.template import engines as _engines
_engines.all()
_get()
"""


@pytest.fixture(autouse=True)
def _frameworks():
    pytest.importorskip("django")
    pytest.importorskip("flask")


def answers_of(server) -> tuple[list[str], list, str]:
    """Return the lines of the failure as text, its exceptions as JSON, and the page."""
    text, data, page = (
        server.get("/ok/", headers=[f"Accept: {kind}"]).body.decode()
        for kind in ("text/plain", "application/json", "text/html")
    )
    jsonschema = pytest.importorskip("jsonschema")
    schema = importlib.resources.files("devpatch.features.failsafe.page") / "failure.schema.json"
    jsonschema.validate(json.loads(data), json.loads(schema.read_text()))
    return text.splitlines(), json.loads(data)["exceptions"], page


def line_of(server) -> str:
    """Return what the terminal says last about the failure."""
    line = [line for line in messages_of(server) if "; waiting" in line][-1]
    return line.removeprefix("devpatch: fail-safe: ").partition("; waiting")[0]


def wait_until_held(server):
    wait_for(lambda: is_waiting(server), lambda: server.stderr)


class TestSettings:
    @pytest.mark.parametrize("command", [RUNSERVER, PLUS], ids=["runserver", "runserver_plus"])
    def test_the_line_with_the_wrong_name_is_shown(self, serve_project, command):
        """Frameworks import what settings name, so no frame of the traceback is at that line."""
        pytest.importorskip("django_extensions")
        files = django_files(settings=HEAD, wsgi=WSGI, views=VIEWS, models=MODELS)
        apps = '"shop", "django.contrib.auth", "django.contrib.contenttypes", "django_extensions"'
        files["settings.py"] = files["settings.py"].replace('"shop"', apps)
        server = serve_project(files, *command, **ON)
        settings = server.directory / "settings.py"
        whole = settings.read_text()
        for old, new, wrong, title in MISTAKES:
            broken = whole.replace(old, new, 1)
            save(settings, broken)
            wait_until_broken(server, title)
            lines = broken.splitlines()
            (number,) = (n for n, line in enumerate(lines, 1) if wrong in line and line[0] != "#")
            text, links, page = answers_of(server)
            assert text[0].startswith(title), "\n".join(text)
            assert text[1] == f"in settings.py:{number}"
            marked = next(n for n, line in enumerate(text) if line.startswith(">"))
            assert text[marked] == f"> {number:>5}  {lines[number - 1]}"
            column = text[marked].index(wrong)
            assert text[marked + 1] == f"{'':>{column}}{'^' * len(wrong)}"
            assert f" in settings.py:{number}" in line_of(server)
            assert f"<b>settings.py</b>, line {number}</p>" in page
            assert f"<b class='caret'>{'^' * len(wrong)}</b>" in page
            assert any((link["place"] or {}).get("line") == number for link in links)
        save(settings, whole)
        server.wait_until_ready()
        stop_with_ctrl_c(server)

    def test_a_name_that_is_nowhere_has_no_place(self, serve_project):
        """A line of a library would not help. The page shows it as the last frame of the traceback."""
        server = serve_project(django_files(), *RUNSERVER, **ON)
        settings = server.directory / "settings.py"
        save(settings, settings.read_text().replace('"shop"', '"shop", "sh" "opp"'))
        wait_until_broken(server, "No module named 'shopp'")
        text, (link,), page = answers_of(server)
        assert text[:3] == ["ModuleNotFoundError: No module named 'shopp'", "", text[2]]
        assert text[2].startswith("Traceback")
        assert line_of(server) == "ModuleNotFoundError: No module named 'shopp'"
        assert link["place"] is None
        assert "class='place'" not in page
        assert "importlib" in page
        stop_with_ctrl_c(server)

    def test_the_users_own_line_comes_first(self, serve_project):
        server = serve_project(django_files(settings='NAMES = ["not_there"]'), *RUNSERVER, **ON)
        save(server.directory / "views.py", "import not_there\n")
        wait_until_broken(server, "No module named 'not_there'")
        text, *_ = answers_of(server)
        assert text[1] == "in views.py:1"
        save(server.directory / "views.py", "from django.urls import include\n\ninclude('shop.urlz')\n")
        wait_until_broken(server, "No module named 'shop.urlz'")
        text, *_ = answers_of(server)
        assert text[1] == "in views.py:3"
        assert text[-1] == "ModuleNotFoundError: No module named 'shop.urlz'"
        stop_with_ctrl_c(server)

    def test_the_line_of_a_template_is_shown(self, serve_project):
        files = django_files(settings=HEAD, wsgi=WSGI)
        server = serve_project(files, *RUNSERVER, **ON)
        template = server.directory / "templates/bad.html"
        template.parent.mkdir()
        template.write_text("<p>\n{% for a in b %}\n{% endfr %}\n")
        load = "from django.template.loader import get_template as _get\n_get('bad.html')\n"
        save(server.directory / "views.py", files["views.py"] + load)
        wait_until_broken(server, "Invalid block tag on line 3")
        text, *_ = answers_of(server)
        assert text[1] == f"in {os.path.join('templates', 'bad.html')}:3"
        assert ">     3  {% endfr %}" in text
        stop_with_ctrl_c(server)


class TestCommands:
    """At the first start, the wrong name may stand on the command line, in manage.py or in the environment."""

    def test_django(self, serve_project):
        files = django_files()
        server = serve_project(files, *RUNSERVER, "--settings", "setings", **ON, wait=False)
        wait_until_held(server)
        assert line_of(server) == "ModuleNotFoundError in the command line: No module named 'setings'"
        text, _, page = answers_of(server)
        assert text[1:5] == ["in the command line", "", ">     1  --settings setings", f"{'':>20}{'^' * 7}"]
        assert "<p class='place'>the command line</p>" in page

    def test_django_in_manage_py_and_in_the_environment(self, serve_project):
        files = django_files()
        files["manage.py"] = files["manage.py"].replace('"settings"', '"setings"')
        server = serve_project(files, *RUNSERVER, **ON, wait=False)
        wait_until_held(server)
        assert line_of(server) == "ModuleNotFoundError in manage.py:3: No module named 'setings'"
        server = serve_project(files, *RUNSERVER, **ON, DJANGO_SETTINGS_MODULE="setting.dev", wait=False)
        wait_until_held(server)
        assert line_of(server) == "ModuleNotFoundError in the environment: No module named 'setting'"
        assert ">     1  DJANGO_SETTINGS_MODULE=setting.dev" in answers_of(server)[0]

    @pytest.mark.parametrize(
        ("app", "message"),
        [
            ("shopp", "ModuleNotFoundError in the command line: No module named 'shopp'"),
            ("app:create", "NoAppException in the command line: Failed to find attribute 'create' in 'app'."),
        ],
    )
    def test_flask(self, serve_project, app, message):
        command = [part.format(app=app) for part in FLASK]
        server = serve_project(flask_files(), *command, **ON, wait=False)
        wait_until_held(server)
        assert line_of(server) == message
        assert f">     1  --app {app}" in answers_of(server)[0]
        server = serve_project(flask_files(), *FLASK_RUN, "--debug", **ON, FLASK_APP=app, wait=False)
        wait_until_held(server)
        assert line_of(server) == message.replace("command line", "environment")


CHAIN = """
def prices():
    try:
        return {}["a"]
    except KeyError as error:
        raise ValueError("no price") from error
prices()
"""
# A library that wraps the exception of a function of the user, and one that raises another while it handles that.
LIBRARY = """class PluginError(Exception):
    pass


def call(function):
    try:
        function()
    except Exception as error:
        raise PluginError("a plugin failed") from error


def close(value):
    raise OSError("not open")
"""
WRAPPED = """
from plugins import call
def plugin():
    return {}["a"]
call(plugin)
"""
DURING = """
from plugins import close
try:
    {}["a"]
except KeyError:
    close(1)
"""


class TestChains:
    def test_the_last_exception_comes_first_with_its_cause(self, serve_project):
        server = serve_project(flask_files(), *FLASK_RUN, "--debug", **ON)
        app = server.directory / "app.py"
        whole = app.read_text()
        library = server.directory / "site-packages" / "plugins.py"
        library.parent.mkdir()
        library.write_text(LIBRARY)
        path = f"import sys\nsys.path.insert(0, {str(library.parent)!r})\n"
        expected = {
            CHAIN: ("ValueError: no price", 6, "Its direct cause: KeyError: 'a', in app.py:4"),
            WRAPPED: ("KeyError: 'a'", 4, "It led to: plugins.PluginError: a plugin failed, in app.py:5"),
            DURING: (
                "OSError: not open",
                6,
                "It was raised while this was handled: KeyError: 'a', in app.py:4",
            ),
        }
        for source, (title, line, other) in expected.items():
            head = path.replace("\n", ";")
            save(app, head + source + whole)
            wait_until_broken(server, other)
            text, *_ = answers_of(server)
            assert text[:2] == [title, f"in app.py:{line}"]
            assert text.index(other) < text.index("Traceback (most recent call last):")
            kind, _, message = title.partition(": ")
            assert line_of(server) == f"{kind} in app.py:{line}: {message}"
        save(app, whole)
        server.wait_until_ready()
        stop_with_ctrl_c(server)

    def test_the_text_begins_with_the_failed_checks(self, serve_project):
        models = (
            "from django.db import models\nclass Item(models.Model):\n    n = models.CharField(max_length=-1)"
        )
        server = serve_project(django_files(models=models), *RUNSERVER, **ON, wait=False)
        wait_until_held(server)
        text, *_ = answers_of(server)
        assert text[0] == "1 system check failed"
        assert text[2].startswith("shop.Item.n: 'max_length' must be")
        assert text[3] == f"in {os.path.join('shop', 'models.py')}:3"
        assert ">     3      n = models.CharField(max_length=-1)" in text


@pytest.mark.skipif(sys.platform == "win32", reason="the example has POSIX paths")
@pytest.mark.parametrize("size", [(1200, 900), (390, 844)], ids=["desktop", "phone"])
def test_the_place_is_visible_without_scrolling(serve_project, browser, size):
    """So is the cause. The traceback shows the user's frames, and folds those of libraries."""
    server = serve_project(django_files(), *RUNSERVER, **ON)
    views = server.directory / "views.py"
    error = "from django.template import TemplateSyntaxError"  # Its whole name is wider than a phone.
    save(views, error + CHAIN.replace("ValueError", "TemplateSyntaxError") + views.read_text())
    wait_until_broken(server, "no price")
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, java_script_enabled=False)
    page.goto(f"http://127.0.0.1:{server.port}/ok/")
    assert "raise TemplateSyntaxError" in page.inner_text("mark >> nth=0")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= size[0]
    shown = (page.locator("mark").first, page.get_by_text("Its direct cause:"))
    for part in shown:
        box = part.bounding_box()
        assert box["y"] + box["height"] <= size[1]
    assert page.locator("mark:visible").count() == 1
    assert page.locator("details.own:visible").count() == 3  # urls.py, and two frames in views.py
    assert not page.locator("details.library details:visible").count()
    page.close()
    stop_with_ctrl_c(server)
