import asyncio
import os
import sys

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_under_test.settings")
django_application = get_asgi_application()


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await WEBSOCKETS[scope["path"]](receive, send)
    elif scope["path"] == "/bare/":
        raise ValueError("boom in the bare application")
    elif scope["path"] == "/late/":
        await late(scope, receive, send)
    elif scope["path"].startswith("/copied/"):
        headers = [*scope["headers"], (b"x-more", b"1")]
        path = scope["path"].removeprefix("/copied")
        await django_application({**scope, "headers": headers, "path": path}, receive, send)
    else:
        await django_application(scope, receive, send)


async def late(scope, receive, send):
    """Fail after the response."""
    if scope["query_string"] == b"large":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x" * 20_000_000})
    else:
        await django_application({**scope, "path": "/ok/"}, receive, send)
    raise ValueError("boom after the response")


async def echo(receive, send):
    """Return each text. The text "boom" raises an error."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        if message["text"] == "boom":
            raise ValueError("boom in a consumer")
        await send({"type": "websocket.send", "text": message["text"]})
    if os.environ.get("SITE_GOODBYE"):
        await asyncio.sleep(0.1)
        print(f"goodbye after {message['code']}", flush=True)


async def fail_in_handshake(receive, send):
    raise ValueError("boom in a handshake")


async def leave(receive, send):
    sys.exit(7)


async def reject(receive, send):
    await receive()
    await send({"type": "websocket.close"})


async def fail_at_the_end(receive, send):
    try:
        await echo(receive, send)
    finally:
        raise ValueError("boom at the end of a consumer")


WEBSOCKETS = {
    "/echo/": echo,
    "/handshake/": fail_in_handshake,
    "/exit/": leave,
    "/reject/": reject,
    "/end/": fail_at_the_end,
}
