"""A runserver that calls Django's method: with ``super()``, or through another function."""

import os

from django.core.management.commands.runserver import Command as DjangoCommand


def serve_with(options, inner_run):
    inner_run(**options)


class Command(DjangoCommand):
    if os.environ.get("OWN") == "handed on":

        def run(self, **options):
            self.stdout.write("a banner of our own\\n")
            serve_with(options, self.inner_run)

    else:

        def inner_run(self, *args, **options):
            self.stdout.write("a banner of our own\\n")
            super().inner_run(*args, **options)
