"""How much memory the machine has left, and how much this process uses.

Limits: only Linux tells both without a further package. Elsewhere a standby is kept whatever the memory.
"""

from __future__ import annotations

import os

_MEMINFO = "/proc/meminfo"
_STATM = "/proc/self/statm"


def available() -> int | None:
    """Return the bytes that programs can still get without swapping, or None if that is not known."""
    try:
        with open(_MEMINFO, encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def size() -> int:
    """Return the bytes of memory that this process uses, or 0 if that is not known."""
    try:
        with open(_STATM, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
