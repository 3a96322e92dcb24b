"""How much memory the machine has left.

Limits: only Linux reports that without a further package. Elsewhere a standby is always kept.
"""

from __future__ import annotations

_MEMINFO = "/proc/meminfo"


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
