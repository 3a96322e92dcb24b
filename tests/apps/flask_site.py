"""The Flask application of the tests: a route for each kind of error, and for other cases."""

import json
import os
import sys
import time

from bare_site import fail_on_a_socket_of_its_own
from django_site.site_under_test import gauge
from flask import Flask, Response, abort, request

app = Flask(__name__)
if os.environ.get("SITE_OOPS"):
    from oops import Oops

    app.wsgi_app = Oops(app.wsgi_app, reports=os.environ["SITE_OOPS"])
if os.environ.get("SITE_TRAP") == "1":
    app.config["TRAP_HTTP_EXCEPTIONS"] = True


class Rescued(Exception):
    pass


@app.errorhandler(Rescued)
def rescue(error):
    return "rescued", 500


if os.environ.get("SITE_CUSTOM_500"):

    @app.errorhandler(500)
    def custom_500(error):
        return f"a custom page {sorted(k for k in request.environ if 'devpatch' in k.lower())}", 500


@app.get("/")
@app.get("/ok/")
def ok():
    return "ok"


@app.get("/version/")
def version():
    return gauge.version()


@app.get("/pid/")
def pid():
    return str(os.getpid())


@app.get("/view/")
def view():
    raise ValueError("boom in a view")


@app.get("/async/")
async def async_view():
    raise ValueError("boom in an async view")


@app.get("/own-socket/")
def own_socket():
    return fail_on_a_socket_of_its_own()


@app.before_request
def before():
    if request.path == "/middleware/":
        raise ValueError("boom in a middleware")


@app.get("/template/")
def template():
    from flask import render_template_string

    return render_template_string("{{ boom() }}", boom=boom)


def boom():
    raise ValueError("boom in a template")


@app.get("/gauge/")
def measure():
    return gauge.measure(int(request.args["expected"]), float(request.args["seconds"]))


@app.get("/parts/")
def parts():
    return Response(gauge.parts())


@app.post("/talk/")
def talk():
    stream = request.stream

    def body():
        yield b"first "
        yield stream.read(6)

    return Response(body())


@app.get("/large/")
def large():
    return b"x" * 1_000_000


@app.get("/status-304/")
def status_304():
    return "", 304


@app.get("/stream/")
def stream():
    def body():
        yield b"first "
        raise ValueError("boom in a stream")

    return Response(body())


@app.get("/stream-first/")
def stream_first():
    def body():
        raise ValueError("boom before the first byte")
        yield b""

    return Response(body())


@app.post("/upload-first/")
def upload_first():
    return stream_first()


@app.route("/close/", methods=["GET", "POST"])
def close():
    request.get_data()
    response = Response("closing")

    @response.call_on_close
    def closer():
        raise ValueError("boom in close")

    return response


@app.get("/connection-error/")
def connection_error():
    raise ConnectionResetError("the database went away")


@app.get("/stream-connection-error/")
def stream_connection_error():
    def body():
        yield b"first "
        raise ConnectionResetError("the database went away in a stream")

    return Response(body())


@app.get("/exit-7/")
def exit_7():
    sys.exit(7)


@app.get("/exit-3/")
def exit_3():
    sys.exit(3)


@app.get("/exit-text/")
def exit_text():
    sys.exit("text for the operator")


@app.get("/404/")
def not_found():
    abort(404)


@app.get("/403/")
def forbidden():
    abort(403)


@app.get("/400/")
def missing_key():
    return request.args["missing"]


@app.get("/rescued/")
def rescued():
    raise Rescued


@app.get("/status-500/")
def status_500():
    return "on purpose", 500


@app.get("/abort-500/")
def abort_500():
    abort(500)


@app.post("/upload/")
def upload():
    return str(len(request.get_data()))


@app.post("/upload-json/")
def upload_json():
    return str(json.loads(request.environ["wsgi.input"].read(int(request.environ["CONTENT_LENGTH"]))))


@app.post("/upload-unread/")
def upload_unread():
    raise ValueError("boom before the body is read")


@app.post("/upload-stream/")
def upload_stream():
    def body():
        yield b"first "
        raise ValueError("boom in a stream, the body unread")

    return Response(body())


@app.get("/big/")
def big():
    return Response(b"x" * 65536 for _ in range(2000))


@app.get("/slow/")
def slow():
    time.sleep(float(request.args.get("seconds", 30)))
    return "slow"


@app.get("/sleeping-error/")
def sleeping_error():
    time.sleep(float(request.args.get("seconds", 0.5)))
    raise ValueError(f"boom number {request.args.get('n')}")


if __name__ == "__main__":
    app.run(port=int(sys.argv[1]), debug="debug" in sys.argv)
