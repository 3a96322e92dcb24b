from django.core.management.commands.runserver import Command as DjangoCommand


class Command(DjangoCommand):
    def inner_run(self, *args, **options):
        import socketserver

        with socketserver.TCPServer((self.addr, int(self.port)), socketserver.BaseRequestHandler) as server:
            server.serve_forever()
