"""A Django project in one file. Its page makes ten queries."""

import os
import sys

import django
from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(
    ALLOWED_HOSTS=["*"],
    # Two servers run at the same time.
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{os.getpid()}.sqlite3"}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    ROOT_URLCONF=__name__,
    SECRET_KEY="x",
)
django.setup()

from django.db import connection, models  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


class Choice(models.Model):
    """A row of a table."""

    text = models.CharField(max_length=50)

    class Meta:  # noqa: D106
        app_label = "polls"


def index(request):
    """Answer with what ten queries found."""
    found = [choice.text for key in range(10) for choice in Choice.objects.filter(id=key)]
    return HttpResponse(f"{len(found)}\n", content_type="text/plain")


urlpatterns = [path("", index)]

with connection.schema_editor() as editor:
    editor.create_model(Choice)
Choice.objects.bulk_create([Choice(text=f"choice {number}") for number in range(20)])
connection.close()

execute_from_command_line(sys.argv)
