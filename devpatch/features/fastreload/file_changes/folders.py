"""Which folders to watch, which changes in them are noise, and whether git is still at work."""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterable

from ....lifecycle.file_names import SKIPPED_FOLDERS, is_skipped_file

_MAX_FOLDERS = 20_000
_OF_DATABASES = ("-wal", "-shm", "-journal")  # files that databases write next to their own
_LOCK_LIMIT = 10.0  # seconds; a lock that is older was left by a git that has crashed
# File systems that do not report what another machine, or the host of a virtual machine, changes in them.
_SILENT = re.compile(
    r"nfs\d? | cifs | smb\w* | 9p | virtiofs | vboxsf | prl_fs | drvfs | osxfs | fuse\..*", re.VERBOSE
)
_MOUNTS = "/proc/self/mountinfo"  # Linux only; see proc(5)


def folders_below(roots: Iterable[str]) -> list[str]:
    """Return ``roots`` and all folders below them, but no caches, packages, environments and links."""
    found: dict[str, None] = {}
    todo = deque(roots)
    while todo and len(found) < _MAX_FOLDERS:
        here = todo.popleft()
        if here in found:
            continue
        try:
            with os.scandir(here) as entries:
                inner = [
                    entry.path
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED_FOLDERS
                ]
        except OSError:
            continue  # It is not there, or can't be read.
        found[here] = None
        todo.extend(path for path in inner if not os.path.exists(os.path.join(path, "pyvenv.cfg")))
    return list(found)


def is_noise(path: str) -> bool:
    """Whether nobody waits for a change of ``path``."""
    folder, name = os.path.split(path)
    if os.path.basename(folder) == "__pycache__" or name in SKIPPED_FOLDERS:
        return True
    return is_skipped_file(name) or name.endswith(_OF_DATABASES)


def git_locks(folders: Iterable[str]) -> list[str]:
    """Return the paths of the files that git creates while it changes the work trees around ``folders``."""
    locks: dict[str, None] = {}
    for folder in folders:
        here = folder
        while not os.path.exists(os.path.join(here, ".git")):
            parent = os.path.dirname(here)
            if parent == here:
                break
            here = parent
        else:
            locks[os.path.join(_git_folder(here), "index.lock")] = None
    return list(locks)


def _git_folder(work_tree: str) -> str:
    path = os.path.join(work_tree, ".git")
    try:
        with open(path, encoding="utf-8") as file:  # A linked work tree or a submodule has a file.
            return os.path.join(work_tree, file.read().strip().removeprefix("gitdir: "))
    except (OSError, UnicodeDecodeError):
        return path


def is_held(lock: str) -> bool:
    """Whether git holds ``lock``."""
    try:
        return time.time() - os.stat(lock).st_mtime < _LOCK_LIMIT
    except OSError:
        return False


def silent_mount(folders: Iterable[str], mounts: str = _MOUNTS) -> str | None:
    """Return the first of ``folders`` on a file system without events, and that file system's name, or None.

    ``mounts`` is the file that lists the mounted file systems. Elsewhere than on Linux there is none.
    """
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    kinds = {words[4].replace("\\040", " "): words[words.index("-") + 1] for words in lines if "-" in words}
    for folder in folders:
        here = os.path.realpath(folder)
        while here not in kinds and here != os.path.dirname(here):
            here = os.path.dirname(here)
        if _SILENT.fullmatch(kinds.get(here, "")):
            return f"{folder} ({kinds[here]})"
    return None
