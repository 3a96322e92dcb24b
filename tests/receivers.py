"""Callables for DEVPATCH_ON_ERROR. They write each event to the file that the variable RECEIVED names."""

import asyncio
import json
import os
import threading
import time

from devpatch import ErrorEvent

called = threading.Event()


def write(name, event):
    assert isinstance(event, ErrorEvent)
    line = {
        "receiver": name,
        "kind": event.kind,
        "exception": f"{type(event.exception).__name__}: {event.exception}",
        "has_traceback": event.exception.__traceback__ is not None,
        "time": event.time.isoformat(),
        "method": event.method,
        "url": event.url,
        "server": event.server,
        "framework": event.framework,
        "path": event.environ["PATH_INFO"] if event.environ is not None else None,
    }
    with open(os.environ["RECEIVED"], "a") as file:
        file.write(json.dumps(line) + "\n")


def first(event):
    write("first", event)


def second(event):
    write("second", event)


def raising(event):
    write("raising", event)
    raise RuntimeError("the receiver's own")


async def later(event):
    await asyncio.sleep(0.01)
    write("later", event)


def leaving(event):
    raise SystemExit(5)


def slow(event):
    time.sleep(2)
    write("slow", event)


def hanging(event):
    write("hanging", event)
    time.sleep(600)


class Receiver:
    @staticmethod
    def method(event):
        write("method", event)


no_callable = 1
