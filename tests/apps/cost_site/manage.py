import os
import sys

from django.core.management import execute_from_command_line

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
sys.path.append("..")
if os.environ.get("SITE_SPANS"):
    from tracing import trace

    trace("django.DjangoInstrumentor", "sqlite3.SQLite3Instrumentor")
execute_from_command_line(sys.argv)
