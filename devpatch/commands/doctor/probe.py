"""Print facts about the interpreter that runs this file, as JSON. It imports the standard library, and tries wrapt.

``devpatch doctor`` runs it with the interpreter and the options of the user's command. So it must also run on a Python
that has no devpatch, or that is too old for it.
"""

import json
import os
import sys


def facts() -> "dict[str, object]":
    """Return the facts as a mapping."""
    devpatch = sys.modules.get("devpatch")
    ran = devpatch is not None and devpatch.started
    folders = [folder for folder in sys.path if os.path.basename(folder).endswith("-packages")]
    return {
        "executable": sys.executable,
        "version": list(sys.version_info[:3]),
        "no_site": bool(sys.flags.no_site),
        "ignores_environment": bool(sys.flags.ignore_environment),
        "user_site": _user_site(),
        "start_up_files": [
            f for f in (os.path.join(x, "devpatch.pth") for x in folders) if os.path.isfile(f)
        ],
        "ran": ran,
        "module": _origin("devpatch"),
        "module_version": getattr(devpatch, "__version__", None),
        "wrapt": _wrapt(),
        "distributions": _distributions(),
    }


def _user_site() -> "dict[str, object] | None":
    site = sys.modules.get("site")
    if site is None:
        return None
    folder = site.getusersitepackages()
    path = os.path.join(folder, "devpatch.pth")
    return {"enabled": site.ENABLE_USER_SITE is True, "start_up_file": path if os.path.isfile(path) else None}


def _origin(name: str) -> "str | None":
    from importlib.util import find_spec

    try:
        spec = find_spec(name)
    except Exception:
        return None
    return spec.origin if spec is not None else None


def _wrapt() -> "str | None":
    """Return None if wrapt can be imported, or why it can't."""
    try:
        import wrapt  # noqa: F401
    except BaseException as error:  # A broken wrapt may raise anything.
        return "{}: {}".format(type(error).__name__, error)  # noqa: UP032
    return None


def _distributions() -> "dict[str, str]":
    try:
        from importlib.metadata import distributions
    except ImportError:
        return {}
    found: dict[str, str] = {}
    for distribution in distributions():
        name = distribution.metadata["Name"]
        if name:
            found.setdefault(name.lower().replace("_", "-"), distribution.version)
    return found


if __name__ == "__main__":
    # Python put the folder of this file in front of the path.
    sys.path[:] = [entry for entry in sys.path if entry != os.path.dirname(os.path.abspath(__file__))]
    with open(sys.argv[1], "w") as file:
        json.dump(facts(), file)
