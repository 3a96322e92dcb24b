"""A WSGI application on Werkzeug's development server, with its reloader."""

import os

from werkzeug.serving import run_simple
from werkzeug.wrappers import Request, Response


@Request.application
def application(request):
    if request.path == "/results/":
        votes = []
        return Response(f"{sum(votes) / len(votes):.1f}\n")
    return Response("Hello from the polls.\n")


if __name__ == "__main__":
    run_simple(
        "127.0.0.1", int(os.environ.get("PORT", "5000")), application, use_reloader=True, threaded=True
    )
