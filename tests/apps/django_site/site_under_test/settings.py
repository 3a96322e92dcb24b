"""A small project that can raise an exception wherever Django calls its code."""

import atexit
import importlib.util
import os
import sys
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "not-a-secret"
DEBUG = os.environ.get("SITE_DEBUG", "1") == "1"
DEBUG_PROPAGATE_EXCEPTIONS = os.environ.get("SITE_PROPAGATE") == "1"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_under_test.urls"
WSGI_APPLICATION = "site_under_test.wsgi.application"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    *(["daphne"] if os.environ.get("SITE_DAPHNE") == "1" else []),
    *os.environ.get("SITE_APPS", "").split(),
    "django.contrib.staticfiles",
    *(["django_extensions"] if importlib.util.find_spec("django_extensions") else []),
]
FIXTURE_DIRS = [BASE_DIR / "fixtures"]
STATIC_URL = "static/"
ASGI_APPLICATION = "site_under_test.asgi.application"
MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",  # It sets Content-Length, which keep-alive needs.
    "site_under_test.middleware.outer",
    "site_under_test.middleware.inner",
    "site_under_test.middleware.Rescue",
]
if os.environ.get("SITE_RESCUE_ALL") == "1":
    MIDDLEWARE.insert(0, "site_under_test.middleware.rescue_all")
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [BASE_DIR / "templates"]},
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SITE_DATABASE", ":memory:"),
        "CONN_MAX_AGE": 60,
    }
}


def _leave_mark(path):
    Path(path).write_text("atexit ran")


_IS_WORKER = "RUN_MAIN" in os.environ or "WERKZEUG_RUN_MAIN" in os.environ or "--noreload" in sys.argv
if os.environ.get("SITE_EXIT_MARK") and _IS_WORKER:
    atexit.register(_leave_mark, os.environ["SITE_EXIT_MARK"])
