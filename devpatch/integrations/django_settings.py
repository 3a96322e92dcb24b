"""django.conf: a library that uses settings while it is imported must not be imported before the project's settings."""

from __future__ import annotations

# Not ``configured``: connecting a receiver to a signal asks for it, and libraries do that when they are imported.
TRIPWIRES = (("django.conf", "LazySettings._setup"),)
