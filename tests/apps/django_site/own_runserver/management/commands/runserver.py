from django.core.management.commands.runserver import Command as DjangoCommand


class Command(DjangoCommand):
    def inner_run(self, *args, **options):
        self.stdout.write("a banner of our own\\n")
        super().inner_run(*args, **options)
