"""A runserver with its own server. It replaces one of the methods that start Django's server."""

import asyncio
import os

from django.core.management.commands.runserver import Command as DjangoCommand


async def serve(port):
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    await server.serve_forever()


class Command(DjangoCommand):
    where = os.environ.get("OTHER", "inner_run")

    def add_arguments(self, parser):
        super().add_arguments(parser)
        if self.where == "no_asgi":
            parser.add_argument("--asgi", dest="use_asgi", action="store_true", default=False)

    if where == "run":

        def run(self, **options):
            asyncio.run(serve(int(self.port)))

    elif where == "handle":

        def handle(self, *args, **options):
            asyncio.run(serve(int(options["addrport"].partition(":")[2])))

    else:

        def inner_run(self, *args, **options):
            asyncio.run(serve(int(self.port)))
