"""The resident set of this process: the memory that it has in use.

Limits: Linux is tested. macOS tells only the largest size so far, so only growth beyond that is seen there. Windows
is not tested. Requests that run at the same time see each other's memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


def reader() -> Callable[[], int]:
    """Return a function that returns the size in bytes. Where it is not known, that function returns 0."""
    for make in (_linux, _windows, _unix):
        try:
            read = make()
            read()
        except Exception:
            continue
        return read
    return lambda: 0


def _linux() -> Callable[[], int]:
    # Kept open, because opening it takes longer than reading it. A child process would read its parent's.
    page = os.sysconf("SC_PAGE_SIZE")
    process, descriptor = os.getpid(), os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def read() -> int:
        nonlocal process, descriptor
        if process != os.getpid():
            process, descriptor = os.getpid(), os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        return int(os.pread(descriptor, 100, 0).split()[1]) * page

    return read


def _windows() -> Callable[[], int]:
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        """PROCESS_MEMORY_COUNTERS of psapi.h."""

        _fields_ = [
            ("cb", wintypes.DWORD),
            ("PageFaultCount", wintypes.DWORD),
            *((f"size_{number}", ctypes.c_size_t) for number in range(8)),
        ]

    kernel = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined]
    kernel.GetCurrentProcess.restype = wintypes.HANDLE
    kernel.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.POINTER(Counters), wintypes.DWORD)

    def read() -> int:
        counters = Counters()
        kernel.K32GetProcessMemoryInfo(
            kernel.GetCurrentProcess(), ctypes.byref(counters), ctypes.sizeof(counters)
        )
        return int(counters.size_1)  # WorkingSetSize

    return read


def _unix() -> Callable[[], int]:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024

    def read() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    return read
