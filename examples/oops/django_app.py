"""A Django project in one file, behind the middleware: `DEVPATCH_EXC_INFO=1 gunicorn django_app`."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from oops import Oops

settings.configure(
    DEBUG=os.environ.get("DEBUG") == "1", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="example"
)


def index(request):
    return HttpResponse("Try /results/.\n", content_type="text/plain")


def results(request):
    votes = []
    return HttpResponse(f"{sum(votes) / len(votes):.1f}\n")


urlpatterns = [path("", index), path("results/", results)]
application = Oops(get_wsgi_application(), reports="oops.jsonl")
