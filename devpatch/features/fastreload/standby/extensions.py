"""Tell which extension modules may read the environment from C code, where a probe does not see it.

An extension module can't if it refers neither to the functions that read the environment nor to a library that is not
the system's.

Limits: the names are looked for in the bytes of the file. So more modules than necessary count as readers.
"""

from __future__ import annotations

import importlib.machinery
import re
from pathlib import Path

_SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
_READERS = (b"getenv", b"environ", b"Environ", b"dlopen", b"LoadLibrary")
_LIBRARY_SUFFIX = re.compile(rb"\.(?:so|dylib|dll)\b", re.IGNORECASE)
_NAME_AT_END = re.compile(rb"[\w.+-]*\Z")
_LONGEST_NAME = 80  # bytes
# Libraries of the operating system and of the compiler. Loading them reads no variable that concerns a program.
_OF_SYSTEM = re.compile(
    rb"lib(?:c|m|dl|rt|util|pthread|gcc_s|stdc\+\+|c\+\+[\w.]*|System[\w.]*|python[\w.]*) | ld-(?:linux|musl)[\w-]*"
    rb"| python\w* | kernel32 | vcruntime\w* | msvcp\w* | ucrtbase | api-ms-win-crt-(?!environment)[\w-]+",
    re.IGNORECASE | re.VERBOSE,
)


def is_extension(file: str | None) -> bool:
    """Whether ``file`` is a package's extension module. Those of the standard library do not count."""
    return file is not None and file.endswith(_SUFFIXES) and "lib-dynload" not in Path(file).parts


def may_read_environment(file: str) -> bool:
    """Whether the extension module ``file`` may read the environment. True if the file can't be read."""
    try:
        content = Path(file).read_bytes()
    except OSError:
        return True
    if any(reader in content for reader in _READERS):
        return True
    own_name = Path(file).name.encode()
    return any(name not in own_name and not _OF_SYSTEM.fullmatch(name) for name in _libraries(content))


def _libraries(content: bytes) -> set[bytes]:
    """Return the names of the libraries that ``content`` mentions, without their suffixes."""
    names = set()
    for found in _LIBRARY_SUFFIX.finditer(content):
        before = content[max(0, found.start() - _LONGEST_NAME) : found.start()]
        name = _NAME_AT_END.search(before)
        if name is not None and name[0]:
            names.add(name[0])
    return names
