"""How many requests are handled at the same moment, and by which threads."""

import builtins
import threading
import time

_changed = threading.Condition()
_now = 0
_most = 0


def measure(company, seconds):
    """Hold the request until ``company`` requests are here at once, at most ``seconds``; tell what was seen."""
    global _now, _most
    with _changed:
        _now += 1
        _most = max(_most, _now)
        _changed.notify_all()
        _changed.wait_for(lambda: _most >= company, seconds)
    if seconds < 1:
        time.sleep(seconds)
    with _changed:
        _now -= 1
        return f"{_most} {threading.get_ident()} {threading.current_thread() is threading.main_thread()}"


def parts():
    """A body in three parts, the last of which waits for another request."""
    yield b"first "
    yield b"second "
    yield measure(2, 20).encode() and b"third"


def version():
    """What a test wrote at the head of one of the files."""
    return str(getattr(builtins, "site_version", 0))
