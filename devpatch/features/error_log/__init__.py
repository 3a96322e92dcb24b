"""DEVPATCH_ERROR_LOG: the feature, and the schema of its lines."""
