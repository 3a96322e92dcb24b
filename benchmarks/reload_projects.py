"""The projects and servers of the benchmark of reloads, and the ways to run them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from measuring import REPOSITORY

DJANGO = "from django.http import HttpResponse\ndef index(request): return HttpResponse('{version}')\n"
FLASK = (
    "import sys\nfrom flask import Flask\napp = Flask(__name__)\n"
    "@app.get('/')\ndef index(): return '{version}'\n"
    "if __name__ == '__main__': app.run(debug=True, port=int(sys.argv[1]))\n"
)
WERKZEUG = (
    "import sys\nfrom werkzeug import Response, run_simple\n"
    "def app(environ, start_response): return Response('{version}')(environ, start_response)\n"
    "if __name__ == '__main__': run_simple('127.0.0.1', int(sys.argv[1]), app, use_reloader=True, threaded=True)\n"
)


@dataclass(frozen=True)
class Kind:
    """A server: the arguments for Python that start it, the file that is saved, and the text of the file."""

    name: str
    arguments: tuple[str, ...]
    file: str
    text: str
    modules: int = 0  # of the project, in packages of 17, which the file imports
    classes: int = 20  # in each of these modules
    files: int = 0  # of the project, which nobody imports
    apps: tuple[str, ...] = ()  # more of Django's INSTALLED_APPS
    distributions: tuple[str, ...] = ()  # that it needs

    @property
    def application(self) -> str:
        """The WSGI application, as other servers name it."""
        return {"app.py": "app:app", "home/views.py": "wag.wsgi:application"}.get(
            self.file, "mysite.wsgi:application"
        )


BULK = "import bulk\n" + DJANGO
# A load of about five seconds on the machine on which the README's figures were measured.
SLOW = "sum(number * number for number in range(80_000_000))\n" + DJANGO
KINDS = (
    Kind("runserver", ("manage.py", "runserver", "{port}"), "polls/views.py", DJANGO),
    Kind("runserver_plus", ("manage.py", "runserver_plus", "{port}"), "polls/views.py", DJANGO),
    Kind("run_simple", ("app.py", "{port}"), "app.py", WERKZEUG),
    Kind("app.run", ("app.py", "{port}"), "app.py", FLASK),
    Kind("1,000 modules", ("manage.py", "runserver", "{port}"), "polls/views.py", BULK, modules=1000),
    Kind(
        "10,000 modules",
        ("manage.py", "runserver", "{port}"),
        "polls/views.py",
        BULK,
        modules=10_000,
        classes=1,
    ),
    Kind("20,000 files", ("manage.py", "runserver", "{port}"), "polls/views.py", SLOW, files=20_000),
    Kind(
        "DRF, celery, pandas",
        ("manage.py", "runserver", "{port}"),
        "polls/views.py",
        "import celery, pandas, rest_framework.views\n" + DJANGO,
        apps=("rest_framework",),
        distributions=("djangorestframework", "celery", "pandas"),
    ),
    Kind(
        "Flask, SQLAlchemy",
        ("app.py", "{port}"),
        "app.py",
        "import flask_sqlalchemy\n" + FLASK,
        distributions=("flask-sqlalchemy",),
    ),
    Kind(
        "wagtail", ("manage.py", "runserver", "{port}"), "home/views.py", DJANGO, distributions=("wagtail",)
    ),
    Kind("flask run", ("-m", "flask", "--app", "app", "run", "--debug", "-p", "{port}"), "app.py", FLASK),
)


@dataclass(frozen=True)
class Way:
    """A way to run a kind: with variables, or with another program's ``arguments`` for Python."""

    name: str
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    arguments: tuple[str, ...] | None = None  # None: those of the kind
    apps: tuple[str, ...] = ()
    distributions: tuple[str, ...] = ()
    only_django: bool = False

    def command(self, kind: Kind, port: int) -> list[str]:
        """Return the arguments for Python."""
        words = kind.arguments if self.arguments is None else self.arguments
        return [word.format(port=port, application=kind.application) for word in words]


STOCK = Way("stock")
WAYS = (
    STOCK,
    Way("fail-safe", {"DEVPATCH_FAILSAFE": "1"}),
    Way("events", {"DEVPATCH_FASTRELOAD": "events"}),
    Way("fast reload", {"DEVPATCH_FASTRELOAD": "1"}),
)
_UVICORN = ("-m", "uvicorn", "--reload", "--interface", "wsgi", "--port", "{port}", "{application}")
_HUPPER_COMMAND = "from hupper.cli import main; main()"  # It can't be run by -m.
_HUPPER = ("-c", _HUPPER_COMMAND, "-m", "manage", "runserver", "--noreload", "{port}")
_JURIGGED = ("-m", "jurigged", "manage.py", "runserver", "--noreload", "{port}")
# What a user would choose instead.
OTHERS = (
    Way(
        "django-watchfiles",
        apps=("django_watchfiles",),
        distributions=("django-watchfiles",),
        only_django=True,
    ),
    Way("uvicorn --reload", arguments=_UVICORN, distributions=("uvicorn",)),
    Way(
        "gunicorn --reload",
        arguments=("-m", "gunicorn", "--reload", "-b", "127.0.0.1:{port}", "{application}"),
        distributions=("gunicorn",),
    ),
    Way("hupper", arguments=_HUPPER, distributions=("hupper",), only_django=True),
    Way("jurigged", arguments=_JURIGGED, distributions=("jurigged",), only_django=True),
)


def create(python: Path, kind: Kind, folder: Path, apps: tuple[str, ...]) -> None:
    """Create the project of ``kind`` in ``folder``, with more ``apps``."""
    if kind.name == "wagtail":
        folder.mkdir()
        subprocess.run(
            [python, "-m", "wagtail.bin.wagtail", "start", "wag", folder], check=True, capture_output=True
        )
        views = "\nfrom home import views\nurlpatterns = [path('', views.index), *urlpatterns]\n"
        _append(folder / "wag" / "urls.py", views)
        _append(folder / "wag" / "settings" / "base.py", f"\nINSTALLED_APPS = [*INSTALLED_APPS, *{apps!r}]\n")
    elif "manage.py" in kind.arguments:
        shutil.copytree(REPOSITORY / "examples" / "django_project", folder, dirs_exist_ok=True)
        more = (*kind.apps, *apps)
        _append(folder / "mysite" / "settings.py", f"\nINSTALLED_APPS = [*INSTALLED_APPS, *{more!r}]\n")
        urls = (
            "from django.urls import path\nfrom polls import views\nurlpatterns = [path('', views.index)]\n"
        )
        (folder / "mysite" / "urls.py").write_text(urls)
    _add_modules(folder / "bulk", kind.modules, kind.classes)
    for number in range(kind.files):
        file = folder / "data" / str(number // 200) / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def _append(file: Path, text: str) -> None:
    with open(file, "a") as opened:
        opened.write(text)


def _add_modules(folder: Path, count: int, classes: int) -> None:
    """Write a package with ``count`` modules in packages of 17, with so many ``classes`` each. It imports all."""
    body = "".join(
        f"class Model{number}:\n    def method(self): return {number}\n" for number in range(classes)
    )
    packages = []
    for start in range(0, count, 17):
        package = folder / f"part{start}"
        package.mkdir(parents=True)
        names = [f"module{number}" for number in range(start, min(start + 17, count))]
        for name in names:
            (package / f"{name}.py").write_text(body)
        (package / "__init__.py").write_text("".join(f"from . import {name}\n" for name in names))
        packages.append(package.name)
    if packages:
        (folder / "__init__.py").write_text("".join(f"from . import {name}\n" for name in packages))
