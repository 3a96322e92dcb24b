"""Settings of a project whose views say how many queries Django itself has counted. The tests set the variables."""

import importlib.util
import json
import os

FOLDER = os.environ["SITE_FOLDER"]  # for the databases and the file cache
SECRET_KEY = "x"
DEBUG = os.environ.get("SITE_DEBUG", "1") == "1"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "stock",
]
if importlib.util.find_spec("django_extensions"):
    INSTALLED_APPS.append("django_extensions")
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
_SQLITE = {"ENGINE": "django.db.backends.sqlite3", "OPTIONS": {"timeout": 30}}
DATABASES = {
    "default": json.loads(os.environ.get("SITE_DATABASE", "null"))
    or {**_SQLITE, "NAME": f"{FOLDER}/one.sqlite3"},
    "other": {**_SQLITE, "NAME": f"{FOLDER}/two.sqlite3"},
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    "file": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": f"{FOLDER}/cache"},
}
if os.environ.get("SITE_TOOLBAR"):
    INSTALLED_APPS.append("debug_toolbar")
    MIDDLEWARE.insert(0, "debug_toolbar.middleware.DebugToolbarMiddleware")
    INTERNAL_IPS = ["127.0.0.1"]
    TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
