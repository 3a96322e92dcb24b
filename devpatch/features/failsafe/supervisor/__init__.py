"""The supervisor: the reloader's parent, and the process of a first start that failed."""
