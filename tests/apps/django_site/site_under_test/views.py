"""A view for each kind of error, and for each case that is not an error."""

import asyncio
import json
import os
import sys
import time

from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.db import connection
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.http.multipartparser import MultiPartParserError
from django.template import engines
from django.views.decorators.csrf import csrf_exempt

from . import gauge
from .middleware import Rescued

CUSTOM_500 = os.environ.get("SITE_CUSTOM_500")


def ok(request):
    return HttpResponse("ok", content_type="text/plain")


def version(request):
    return HttpResponse(gauge.version(), content_type="text/plain")


def pid(request):
    return HttpResponse(str(os.getpid()), content_type="text/plain")


def view(request):
    request_marker = "a local variable of the view"
    raise ValueError(f"boom in a view ({len(request_marker)})")


async def async_view(request):
    await asyncio.sleep(0)
    raise ValueError("boom in an async view")


def template(request):
    return HttpResponse(engines["django"].from_string("{{ boom }}").render({"boom": Boom()}))


class Boom:
    def __str__(self):
        raise ValueError("boom in a template")


def measure(request):
    return HttpResponse(gauge.measure(int(request.GET["expected"]), float(request.GET["seconds"])))


def query(request):
    with connection.cursor() as cursor:
        cursor.execute("select 1")
    return measure(request)


def parts(request):
    return StreamingHttpResponse(gauge.parts())


@csrf_exempt
def talk(request):
    def body():
        yield b"first "
        yield request.read(6)

    return StreamingHttpResponse(body())


def large(request):
    return HttpResponse(b"x" * 1_000_000)


def status_304(request):
    return HttpResponse(status=304)


def stream(request):
    def body():
        yield b"first "
        raise ValueError("boom in a stream")

    return StreamingHttpResponse(body())


def stream_first(request):
    def body():
        raise ValueError("boom before the first byte")
        yield b""

    return StreamingHttpResponse(body())


class BadClose(HttpResponse):
    def close(self):
        super().close()
        raise ValueError("boom in close")


def close(request):
    return BadClose("closing")


def own_connection_error(request):
    raise ConnectionResetError("the database went away")


def own_socket(request):
    sys.path.append("..")
    from bare_site import fail_on_a_socket_of_its_own

    fail_on_a_socket_of_its_own()


def stream_connection_error(request):
    def body():
        yield b"first "
        raise ConnectionResetError("the database went away in a stream")

    return StreamingHttpResponse(body())


def exit_7(request):
    sys.exit(7)


async def async_exit_7(request):
    sys.exit(7)


def exit_3(request):
    sys.exit(3)


def exit_text(request):
    sys.exit("text for the operator")


def custom_500(request):
    if CUSTOM_500 == "raises":
        raise RuntimeError("boom in handler500")
    return HttpResponse("a custom page", status=500)


# --- not errors ---


def raising(error):
    def raise_it(request):
        raise error

    return raise_it


def status_500(request):
    return HttpResponse("on purpose", status=500)


def closers(request):
    response = HttpResponse("swallowed")

    def closer():
        raise ValueError("Django swallows this")

    response._resource_closers.append(closer)
    return response


@csrf_exempt
def upload(request):
    return HttpResponse(str(len(request.body)))


@csrf_exempt
def upload_json(request):
    return HttpResponse(json.loads(request.read()))


@csrf_exempt
def upload_unread(request):
    raise ValueError("boom before the body is read")


@csrf_exempt
def upload_large(request):
    raise ValueError("boom " + "x" * 300_000)


def big(request):
    return StreamingHttpResponse(b"x" * 65536 for _ in range(2000))


def test_client(request):
    from django.test import Client

    response = Client(raise_request_exception=False).get("/view/")
    return HttpResponse(f"inner {response.status_code}")


def slow(request):
    time.sleep(float(request.GET.get("seconds", 30)))
    return HttpResponse("slow")


async def async_slow(request):
    await asyncio.sleep(float(request.GET.get("seconds", 30)))
    return HttpResponse("slow")


def sleeping_error(request):
    time.sleep(float(request.GET.get("seconds", 0.5)))
    raise ValueError(f"boom number {request.GET.get('n')}")


VIEWS = {
    "ok": ok,
    "version": version,
    "pid": pid,
    "view": view,
    "async": async_view,
    "template": template,
    "stream": stream,
    "stream-first": stream_first,
    "close": close,
    "own-socket": own_socket,
    "connection-error": own_connection_error,
    "stream-connection-error": stream_connection_error,
    "exit-7": exit_7,
    "async-exit-7": async_exit_7,
    "exit-3": exit_3,
    "exit-text": exit_text,
    "404": raising(Http404("none")),
    "403": raising(PermissionDenied("no")),
    "400": raising(BadRequest("bad")),
    "suspicious": raising(SuspiciousOperation("odd")),
    "too-big": raising(RequestDataTooBig("big")),
    "multipart": raising(MultiPartParserError("parts")),
    "rescued": raising(Rescued("rescue me")),
    "status-500": status_500,
    "closers": closers,
    "upload": upload,
    "upload-json": upload_json,
    "upload-unread": upload_unread,
    "upload-large": upload_large,
    "big": big,
    "test-client": test_client,
    "slow": slow,
    "gauge": measure,
    "query": query,
    "parts": parts,
    "talk": talk,
    "large": large,
    "status-304": status_304,
    "async-slow": async_slow,
    "sleeping-error": sleeping_error,
}
