"""The commands of ``python -m devpatch``."""
