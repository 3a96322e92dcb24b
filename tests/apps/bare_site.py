"""A bare WSGI application, served by wsgiref or Werkzeug. The arguments are PORT SERVER [MODE ...]."""

import atexit
import io
import logging
import logging.handlers
import os
import socket
import socketserver
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from wsgiref.handlers import SimpleHandler

from django_site.site_under_test import gauge

if os.environ.get("SITE_EXIT_MARK"):
    atexit.register(lambda: Path(os.environ["SITE_EXIT_MARK"]).write_text("atexit ran"))
if os.environ.get("SITE_LOG"):  # A handler that writes only when it is flushed.
    file = logging.FileHandler(os.environ["SITE_LOG"])
    logging.getLogger().addHandler(logging.handlers.MemoryHandler(1000, logging.CRITICAL, file))
    logging.warning("kept in memory")

servers = []


class Body:
    def __init__(self, chunks=(b"closing",), fails=False):
        self.chunks = chunks
        self.fails = fails

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        if self.fails:
            raise ValueError("boom in close")


class Odd:
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def failing(error, *chunks):
    yield from chunks
    raise error


def fail_on_a_socket_of_its_own():
    """Do what a database client does when its server is gone."""
    mine, other = socket.socketpair()
    other.close()
    stream = mine.makefile("wb", buffering=0)
    for _ in range(2):
        stream.write(b"select 1")


def application(environ, start_response):
    path = environ["PATH_INFO"].strip("/")
    if path in ("version", "pid"):
        body = (gauge.version() if path == "version" else str(os.getpid())).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
    if path == "view":
        raise ValueError("boom in a view")
    if path == "exit-odd":
        sys.exit(Odd())
    if path == "huge":
        raise ValueError("boom " + "x" * 300_000)
    if path == "own-socket":
        fail_on_a_socket_of_its_own()
    if path == "connection-error":
        raise ConnectionResetError("the database went away")
    if path == "exit-7":
        sys.exit(7)
    if path == "exit-3":
        sys.exit(3)
    if path == "exit-text":
        sys.exit("text for the operator")
    if path == "sleeping-error":
        time.sleep(0.5)
        raise ValueError("boom number " + environ["QUERY_STRING"])
    if path == "shutdown":
        threading.Thread(target=servers[0].shutdown).start()
        time.sleep(0.5)
    if path == "slow":
        time.sleep(float(environ["QUERY_STRING"].partition("=")[2] or 30))
    if path == "upload":
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if len(body) < length:
            raise EOFError("the body is short")
    if path == "upload-unread":
        raise ValueError("boom before the body is read")
    if path == "chunked":
        environ["wsgi.input"].read()
    if path == "gauge":
        query = dict(part.split("=") for part in environ["QUERY_STRING"].split("&"))
        seen = gauge.measure(int(query["expected"]), float(query["seconds"])).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(seen)))])
        return [seen]
    if path == "status-304":
        start_response("304 Not Modified", [])
        return []
    if path == "status-500":
        start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
        return [b"on purpose"]
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "talk":
        write(b"first ")
        return [environ["wsgi.input"].read(6)]
    if path == "stream":
        return failing(ValueError("boom in a stream"), b"first ")
    if path in ("stream-first", "upload-stream"):
        return failing(ValueError("boom before the first byte"))
    if path == "stream-connection-error":
        return failing(ConnectionResetError("the database went away in a stream"), b"first ")
    if path == "close":
        return Body(fails=True)
    if path == "parts":
        return gauge.parts()
    if path == "large":
        return [b"x" * 1_000_000]
    if path == "big":
        return (b"x" * 65536 for _ in range(2000))
    return [b"slow" if path == "slow" else b"ok"]


def in_a_thread(app):
    """Run ``app`` in a thread of a pool, without the context of the request."""
    pool = ThreadPoolExecutor(1)
    return lambda environ, start_response: pool.submit(app, environ, start_response).result()


def with_another_input(app):
    return lambda environ, start_response: app({**environ, "wsgi.input": io.BytesIO()}, start_response)


def with_a_debugger(app):
    from werkzeug.debug import DebuggedApplication

    debugged = DebuggedApplication(app)
    return lambda environ, start_response: list(debugged(environ, start_response))


def with_a_test_client(app):
    """Call an application that fails, under a debugger of its own, and ignore what it answers."""
    from werkzeug.test import Client

    def call(environ, start_response):
        assert Client(with_a_debugger(application)).get("/view/").status_code == 500
        return app(environ, start_response)

    return call


def main(port, server, *modes):
    app = application
    for name in filter(None, os.environ.get("SITE_MIDDLEWARE", "").split()):
        app = globals()[name](app)
    if server == "werkzeug":
        from werkzeug.serving import run_simple

        run_simple(
            "127.0.0.1",
            port,
            app,
            use_reloader="reload" in modes,
            **eval(os.environ.get("SITE_RUN_OPTIONS", "{}")),
            use_debugger="debugger" in modes,
            threaded="threaded" in modes,
            passthrough_errors="passthrough" in modes,
            processes=2 if "forking" in modes else 1,
        )
        return
    serve_with_wsgiref(port, modes)
    print("the program went on after serve_forever")


def serve_with_wsgiref(port, modes):
    from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

    class ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
        pass

    class ForkingServer(socketserver.ForkingMixIn, WSGIServer):
        pass

    class OwnHandler(WSGIRequestHandler):
        """A common recipe: the WSGI handler has no reference to the request handler."""

        runner = SimpleHandler

        def handle(self):
            self.raw_requestline = self.rfile.readline(65537)
            if self.parse_request():
                self.runner(self.rfile, self.wfile, sys.stderr, self.get_environ()).run(application)

    class OwnHandlerWithNone(OwnHandler):
        runner = type("Runner", (SimpleHandler,), {"request_handler": None})

    class WrappingHandler(WSGIRequestHandler):
        """A common recipe to start TLS in the thread of the connection."""

        def setup(self):
            self.request = self.request.dup()
            super().setup()

        def finish(self):
            super().finish()
            self.request.shutdown(socket.SHUT_WR)
            self.request.close()

    class WritingHandler(WSGIRequestHandler):
        def handle(self):
            self.raw_requestline = self.rfile.readline(65537)
            if self.parse_request():
                self.send_response(200)
                self.end_headers()
                self.connection.sendall(b"ok")

    class LimitedHandler(WSGIRequestHandler):
        timeout = 0.5

        def handle(self):
            try:
                super().handle()
            except TimeoutError:
                pass

    class BufferedHandler(WSGIRequestHandler):
        wbufsize = -1

    handler_class = {
        "buffered": BufferedHandler,
        "own-handler": OwnHandler,
        "own-handler-with-none": OwnHandlerWithNone,
        "wraps-connection": WrappingHandler,
        "writes-itself": WritingHandler,
        "time-limit": LimitedHandler,
    }.get(" ".join(modes[-1:]), WSGIRequestHandler)
    server_class = {"threaded": ThreadingServer, "forking": ForkingServer}.get(
        " ".join(modes[:1]), WSGIServer
    )
    with make_server("127.0.0.1", port, application, server_class, handler_class) as httpd:
        servers.append(httpd)
        if "handle_request" in modes:
            while True:
                httpd.handle_request()
        if "catching" in modes:
            try:
                httpd.serve_forever()
            except (KeyboardInterrupt, SystemExit):
                return
        httpd.serve_forever()


if __name__ == "__main__":
    if "in-except" in sys.argv:
        try:
            raise ImportError("of something optional")
        except ImportError:
            main(int(sys.argv[1]), *sys.argv[2:])
    else:
        main(int(sys.argv[1]), *sys.argv[2:])
