"""DEVPATCH_SUMMARY: the feature, what it records of each request, and the schema of the log's lines."""
