"""socketserver: the methods that a pool of threads needs. They are changed on single servers only."""

from ..patching import Capability, Expect

_CONNECTION = ("server", "request", "client_address")
_MODULE = "socketserver"
PATCHES = (
    Expect(_MODULE, "BaseServer.process_request", Capability.THREADS, _CONNECTION),
    Expect(_MODULE, "BaseServer.finish_request", Capability.THREADS, _CONNECTION),
    Expect(_MODULE, "BaseServer.shutdown_request", Capability.THREADS, ("server", "request")),
    Expect(_MODULE, "ThreadingMixIn.process_request_thread", Capability.THREADS, _CONNECTION),
)
