"""``python -m devpatch``, also the command ``devpatch``: what is set, what is patched, what is not and why."""

from __future__ import annotations

import argparse
import json
import sys

from . import __version__, status
from .process import ExitStatus


def main(arguments: list[str] | None = None) -> int:
    """Print the status; return 0, or ``ExitStatus.REFUSED`` where a switch is invalid."""
    parser = argparse.ArgumentParser(
        prog="devpatch",
        description="Say which switches are set, and what they can do with the frameworks installed here.",
    )
    parser.add_argument("--json", action="store_true", help="print it for programs")
    parser.add_argument("--version", action="version", version=f"devpatch {__version__}")
    options = parser.parse_args(arguments)
    found = status.gather()
    print(json.dumps(found, indent=2) if options.json else status.render(found))
    is_valid = all(switch["valid"] for switch in found["switches"])
    return 0 if is_valid else int(ExitStatus.REFUSED)


if __name__ == "__main__":
    sys.exit(main())
