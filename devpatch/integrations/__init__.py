"""The integrations: one file for each patched module. An integration knows no feature.

It reports what happens to ``devpatch.lifecycle``, and asks there what to do. ``ENTRY_PATCHES`` are made when
a server's module is imported, because others bind its functions by name. ``PATCHES`` are made when a server starts, so
that a process which serves nothing keeps its framework as it is. ``APPLICATION_PATCHES`` work under any WSGI server.
"""
