"""What ``python -m devpatch`` does."""
