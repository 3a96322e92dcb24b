"""Start devpatch in each Python that a command of ``devpatch run`` starts. No start-up file (.pth) is needed.

``devpatch run`` puts this folder in front of PYTHONPATH. When Python starts, it imports the first module named
``sitecustomize`` on its path, which is then this one. It removes its folder from ``sys.path`` and imports the next
module of that name, as if this one did not exist.

Limits: Python does not look for this module with -S, and does not read PYTHONPATH with -E and -I.
"""

import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGES = os.path.dirname(os.path.dirname(os.path.dirname(_HERE)))  # the folder that contains devpatch


class _Finder:
    """Finds devpatch and wrapt, and nothing else, beside the devpatch that runs the command.

    The Python that starts here may be that of another environment, in which neither is installed.
    """

    @staticmethod
    def find_spec(name, path=None, target=None):  # type: ignore[no-untyped-def]
        if name not in ("devpatch", "wrapt"):
            return None
        from importlib.machinery import PathFinder

        return PathFinder.find_spec(name, [_PACKAGES])


def _start() -> None:
    try:
        try:
            import devpatch
        except ImportError:
            sys.meta_path.append(_Finder())
            import devpatch
        devpatch.start()
    except Exception as error:
        sys.stderr.write(f"devpatch: no switch has an effect: {type(error).__name__}: {error}\n")


sys.path[:] = [entry for entry in sys.path if os.path.normcase(entry) != os.path.normcase(_HERE)]
if any(name.startswith("DEVPATCH_") for name in os.environ):
    _start()
sys.modules.pop(__name__, None)
# If there is no other one, this raises ImportError. Python expects that where no sitecustomize exists.
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401
