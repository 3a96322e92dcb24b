"""The integrations: one file for each patched module. An integration knows no feature.

It reports events to ``devpatch.lifecycle``, and asks there what to do. ``ENTRY_PATCHES`` are made when a server's
module is imported, because other modules bind its functions by name. ``PATCHES`` are made when a server starts, so
a process that serves nothing leaves its framework unchanged. ``APPLICATION_PATCHES`` work under any WSGI server.
"""
