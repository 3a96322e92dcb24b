"""Set up and run devpatch from a checkout: ``python3 run.py demo`` or ``python3 run.py tests``.

It needs only Python 3.10 or later and a package index. It installs everything into the folder .venv.
An older Python can read this file too, so that it prints one line instead of a traceback.
"""

import sys

if sys.version_info < (3, 10):
    sys.exit("run.py needs Python 3.10 or later; this is Python %d.%d" % tuple(sys.version_info[:2]))

import os
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def set_up(*requirements):
    """Create the environment if it does not exist, and install into it. End with one line if that fails."""
    if not PYTHON.exists():
        print("setting up " + str(ENVIRONMENT))
        sys.stdout.flush()
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if subprocess.run(pip + list(requirements), cwd=str(ROOT)).returncode:
        sys.exit("run.py could not install " + " ".join(requirements) + "; is a package index reachable?")


def demo(*arguments):
    """Show fail-fast and fail-safe on the example Django project. An argument is the port, by default a free one."""
    set_up(".", "django")
    return subprocess.run([str(PYTHON), str(ROOT / "examples" / "demo.py")] + list(arguments)).returncode


def tests(*arguments):
    """Run the linters and the test matrix on the installed interpreters."""
    set_up("nox", "uv")
    folders = [str(folder) for folder in [PYTHON.parent] + pyenv_folders()]
    path = folders + [os.environ.get("PATH", "")]
    environ = dict(os.environ, PATH=os.pathsep.join(path), UV_PYTHON_DOWNLOADS="never")
    command = [str(PYTHON), "-m", "nox"] + list(arguments)
    return subprocess.run(command, cwd=str(ROOT), env=environ).returncode


def pyenv_folders():
    """Return the folders of pyenv's interpreters, because its shims run only the selected versions."""
    root = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")))
    return sorted(root.glob("versions/3.1[0-9]*/bin"))


def main():
    """Run the command in the arguments."""
    commands = {"demo": demo, "tests": tests}
    words = sys.argv[1:] or [""]
    if words[0] not in commands:
        print(__doc__)
        return 2
    return commands[words[0]](*words[1:])


if __name__ == "__main__":
    sys.exit(main())
