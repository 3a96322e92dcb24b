"""What the summary has patched in this process."""

import functools
import sys

DJANGO = [
    "wsgiref.handlers:BaseHandler.send_headers",
    "django.db.backends.utils:CursorWrapper._execute_with_wrappers",
    "django.db.backends.base.base:debug_transaction",
    "django.core.handlers.wsgi:WSGIRequest.__init__",
    "django.core.cache:CacheHandler.create_connection",
    "django.core.cache.backends.locmem:LocMemCache.get",
    "asgiref.sync:SyncToAsync.__call__",
]
FLASK = [
    "werkzeug.serving:WSGIRequestHandler.end_headers",
    "flask.app:Flask.create_url_adapter",
    "flask_caching:Cache.init_app",
    "flask_caching.backends.simplecache:SimpleCache.get",
]


def report(targets):
    """Return the names of devpatch's loaded modules, and those of ``targets`` that devpatch has replaced."""
    modules = sorted(name for name in sys.modules if name.partition(".")[0] == "devpatch")
    found = []
    for target in targets:
        module, _, path = target.partition(":")
        function = functools.reduce(getattr, path.split("."), sys.modules[module])
        if "devpatch" in function.__code__.co_filename:
            found.append(target)
    return {"modules": modules, "patched": found}
