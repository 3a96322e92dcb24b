import io
import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_under_test.settings")
django_application = get_wsgi_application()
if os.environ.get("SITE_OOPS"):
    from oops import Oops

    django_application = Oops(django_application, reports=os.environ["SITE_OOPS"])


def application(environ, start_response):
    if environ["PATH_INFO"] == "/bare/":
        raise ValueError("boom in the bare application")
    if os.environ.get("SITE_COPIES_ENVIRON"):
        environ = {**environ, "wsgi.input": io.BytesIO()}
    return django_application(environ, start_response)
