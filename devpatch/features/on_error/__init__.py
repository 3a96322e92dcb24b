"""DEVPATCH_ON_ERROR: the feature, and the event that users' callables get."""
