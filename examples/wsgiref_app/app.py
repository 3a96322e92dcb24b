"""A WSGI application on the standard library's server. It has no reloader, so fail-safe has no effect."""

import os
from wsgiref.simple_server import make_server


def application(environ, start_response):
    if environ["PATH_INFO"] == "/results/":
        votes = []
        body = f"{sum(votes) / len(votes):.1f}\n"
    else:
        body = "Hello from the polls.\n"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [body.encode()]


if __name__ == "__main__":
    with make_server("127.0.0.1", int(os.environ.get("PORT", "8000")), application) as server:
        server.serve_forever()
