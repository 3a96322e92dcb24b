"""Measure how many requests are handled concurrently, and by which threads."""

import builtins
import threading
import time

_changed = threading.Condition()
_now = 0
_most = 0


def measure(expected, seconds):
    """Wait for ``expected`` concurrent requests, at most ``seconds``. Return their maximum and the thread."""
    global _now, _most
    with _changed:
        _now += 1
        _most = max(_most, _now)
        _changed.notify_all()
        _changed.wait_for(lambda: _most >= expected, seconds)
    if seconds < 1:
        time.sleep(seconds)
    with _changed:
        _now -= 1
        return f"{_most} {threading.get_ident()} {threading.current_thread() is threading.main_thread()}"


def parts():
    """Yield a body in three parts. The last part waits for another request."""
    yield b"first "
    yield b"second "
    yield measure(2, 20).encode() and b"third"


def version():
    """Return the version number that a test wrote into one of the files."""
    return str(getattr(builtins, "site_version", 0))
