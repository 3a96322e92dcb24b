"""Hear of changes of files: by the operating system's events, or by frequent looks at few files."""
