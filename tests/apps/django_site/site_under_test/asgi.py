import asyncio
import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_under_test.settings")
django_application = get_asgi_application()


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await WEBSOCKETS[scope["path"]](receive, send)
    elif scope["path"] == "/bare/":
        raise ValueError("boom in the bare application")
    elif scope["path"] == "/late/":  # It has a response, and then an error.
        await django_application({**scope, "path": "/ok/"}, receive, send)
        raise ValueError("boom after the response")
    else:
        await django_application(scope, receive, send)


async def echo(receive, send):
    """Return each text. Two of them raise an error, and so may the end."""
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


async def reject(receive, send):
    await receive()
    await send({"type": "websocket.close"})


async def fail_at_the_end(receive, send):
    try:
        await echo(receive, send)
    finally:
        raise ValueError("boom at the end of a consumer")


WEBSOCKETS = {"/echo/": echo, "/handshake/": fail_in_handshake, "/reject/": reject, "/end/": fail_at_the_end}
