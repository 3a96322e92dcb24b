"""Set up and run devpatch from a checkout: ``python3 run.py demo`` or ``python3 run.py tests``.

It needs only Python 3.10 or later and a package index. It installs everything into the folder .venv.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
URL = "http://127.0.0.1:8765"


def set_up(*requirements: str) -> None:
    """Create the environment if it does not exist, and install into it."""
    if not PYTHON.exists():
        print(f"setting up {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    subprocess.run(pip, cwd=ROOT, check=True)


def demo() -> int:
    """Start the example project with fail-fast on, request two pages, and show how it ends."""
    set_up(".", "django")
    command = ["python", "manage.py", "runserver", URL.removeprefix("http://")]
    environ = {**os.environ, "DEVPATCH_FAILFAST": "1", "DJANGO_RUNSERVER_HIDE_WARNING": "true"}
    print(f"\n$ cd examples/django_project\n$ DEVPATCH_FAILFAST=1 {' '.join(command)}", flush=True)
    with tempfile.TemporaryFile("w+") as output:
        server = subprocess.Popen(
            [PYTHON, *command[1:]],
            cwd=ROOT / "examples" / "django_project",
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_for(server, "/")
            show("/")
            show("/results/")
            status = server.wait(30)
        finally:
            server.kill()
        output.seek(0)
        print("\nwhat the server printed:\n")
        print("".join(f"    {line}" for line in output))
    print(f"the server ended with exit status {status}; without devpatch it would still run")
    return 0 if status == 1 else 1


def wait_for(server: subprocess.Popen[bytes], path: str) -> None:
    """Wait until the server answers or ends."""
    for _ in range(300):
        if server.poll() is not None:
            return
        try:
            urllib.request.urlopen(URL + path, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)


def show(path: str) -> None:
    """Request a page. Print the request and the response."""
    print(f"\nGET {path}")
    try:
        with urllib.request.urlopen(URL + path, timeout=30) as response:
            print(f"{response.status} {response.reason}: {response.read().decode().strip()}")
    except urllib.error.HTTPError as error:
        page = error.read().decode()
        title = page.partition("<title>")[2].partition("</title>")[0]
        print(f"{error.code} {error.reason}: a page of {len(page)} characters, {' '.join(title.split())!r}")
    except OSError as error:
        print(f"no answer: {error}")


def tests(*arguments: str) -> int:
    """Run the linters and the test matrix on the installed interpreters."""
    set_up("nox", "uv")
    path = [str(PYTHON.parent), *map(str, pyenv_folders()), os.environ.get("PATH", "")]
    environ = {**os.environ, "PATH": os.pathsep.join(path), "UV_PYTHON_DOWNLOADS": "never"}
    return subprocess.run([PYTHON, "-m", "nox", *arguments], cwd=ROOT, env=environ).returncode


def pyenv_folders() -> list[Path]:
    """Return the folders of pyenv's interpreters, because its shims run only the selected versions."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    return sorted(root.glob("versions/3.1[0-9]*/bin"))


def main() -> int:
    """Run the command in the arguments."""
    commands = {"demo": demo, "tests": tests}
    name, *arguments = sys.argv[1:] or [""]
    if name not in commands:
        print(__doc__)
        return 2
    return commands[name](*arguments)


if __name__ == "__main__":
    sys.exit(main())
