"""Which files and folders of a project count, by their names."""

from __future__ import annotations

import re

# Caches, packages and repositories: people do not edit the files in them.
SKIPPED_FOLDERS = frozenset(
    {"__pycache__", "node_modules", "site-packages", "dist-packages"}
    | {".git", ".hg", ".svn", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis"}
)
# Files that interpreters and editors create next to a source file.
_SKIPPED_FILES = re.compile(
    r".*\.py[co](\.\d+)? | .*~ | \..*\.sw.? | \.\#.* | \#.*\# | 4913 | .*___jb_\w+___ | \.goutputstream-.*",
    re.VERBOSE,
)
_SOURCES = (".py", ".pyi", ".pyx", ".pth")


def is_skipped_file(name: str) -> bool:
    """Whether an interpreter or an editor creates files of this ``name``, without a folder, for itself."""
    return bool(_SKIPPED_FILES.fullmatch(name))


def is_source(path: str) -> bool:
    """Whether Python reads ``path`` when it loads code."""
    return path.endswith(_SOURCES)
