"""Small projects that tests write, start and edit."""

from __future__ import annotations

FLASK = """{head}
from flask import Flask
app = Flask(__name__)
@app.get('/ok/')
def ok(): return 'ok'
@app.get('/version/')
def version(): return '{version}'
@app.get('/view/')
def view(): raise ValueError('boom in a view')
{tail}
"""
FLASK_RUN = ("-m", "flask", "run", "-p", "{port}")


def flask_files(head: str = "", version: int = 0, tail: str = "", **more: str) -> dict[str, str]:
    """Return the files of a Flask project. ``more`` are other files by name, without their suffix."""
    files = {"app.py": FLASK.format(head=head, version=version, tail=tail)}
    return {**files, **{f"{name}.py": text for name, text in more.items()}}


_MANAGE = """import os, sys
{head}
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
_SETTINGS = """{head}
SECRET_KEY = "x"
DEBUG = True
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["shop"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}}
MIDDLEWARE = {middleware}
"""
_URLS = """from django.http import HttpResponse
from django.urls import path
import views
urlpatterns = [path(f"{name}/", getattr(views, name)) for name in dir(views) if name.islower() and name[0] != "_"]
"""
VIEWS = """from django.http import HttpResponse as _Response
def ok(request): return _Response("ok")
def version(request): return _Response("{version}")
def view(request): raise ValueError("boom in a view")
"""
RUNSERVER = ("manage.py", "runserver", "127.0.0.1:{port}")


def django_files(
    settings: str = "",
    models: str = "",
    views: str = "",
    manage: str = "",
    middleware: str = "[]",
    **more: str,
) -> dict[str, str]:
    """Return the files of a Django project. The arguments are added to the files of their names."""
    return {
        "manage.py": _MANAGE.format(head=manage),
        "settings.py": _SETTINGS.format(head=settings, middleware=middleware),
        "urls.py": _URLS,
        "views.py": VIEWS.format(version=0) + views,
        "shop/__init__.py": "",
        "shop/models.py": models,
        **{f"{name}.py": text for name, text in more.items()},
    }
