"""DEVPATCH_ERROR_LOG: the feature, the file that it writes, and the schema of its lines."""
