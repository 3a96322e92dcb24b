"""DEVPATCH_THREADED: the feature, and the pool of threads that handles a server's connections."""
