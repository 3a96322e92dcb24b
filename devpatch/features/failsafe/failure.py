"""Why a worker is broken, as the terminal and the error page show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Failure:
    """Why a worker is broken. ``text`` is the traceback, or what is known if there is none.

    ``chain`` holds the exceptions as ``devpatch.lifecycle.failures`` describes them, or is empty. ``files``, and the
    folders in ``paths``, may contain the cause. ``was_printed``: whether the terminal has shown ``text``.
    """

    summary: str
    text: str
    chain: tuple[dict[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    was_printed: bool = True
