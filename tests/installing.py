"""Create real environments and install devpatch into them. They import nothing from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import clean_environment

REPOSITORY = Path(__file__).parent.parent
INSTALL_TIMEOUT = 300.0  # seconds; a package index may be slow
RUN_TIMEOUT = 40.0
SERVER_IMPORT = "import wsgiref.simple_server"

# Prints which parts of devpatch and wrapt are loaded at the end of a program.
PRINT_STATE = """
import json, sys
devpatch = sys.modules.get("devpatch")
print(json.dumps({
    "loaded": sorted({name.partition(".")[0] for name in sys.modules} & {"devpatch", "wrapt"}),
    "started": devpatch is not None and devpatch.started,
    "finders": [type(finder).__name__ for finder in sys.meta_path if type(finder).__module__.startswith("devpatch")],
}))
"""


@dataclass(frozen=True)
class State:
    loaded: list[str]
    started: bool
    finders: list[str]


UNTOUCHED = State([], False, [])
WAITING = State(["devpatch"], True, ["Gate"])


def execute(*command, cwd, timeout=INSTALL_TIMEOUT, **variables):
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )


def execute_checked(*command, cwd):
    result = execute(*command, cwd=cwd)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment. Programs run in its folder."""

    folder: Path
    python: Path
    site_packages: Path
    scripts: Path

    @classmethod
    def create(cls, folder, *options) -> Environment:
        execute_checked(sys.executable, "-m", "venv", *options, folder, cwd=folder.parent)
        scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return cls(folder, python, Path(execute_checked(python, "-c", code, cwd=folder).strip()), scripts)

    def run(self, *arguments, **variables):
        return execute(self.python, *arguments, cwd=self.folder, timeout=RUN_TIMEOUT, **variables)

    def state_after(self, code="", *options, **variables) -> State:
        """Run ``code``, check that it succeeds and is silent, and return what is loaded at its end."""
        result = self.run(*options, "-c", f"{code}\n{PRINT_STATE}", **variables)
        assert (result.returncode, result.stderr) == (0, "")
        return State(**json.loads(result.stdout))

    def files_of_devpatch(self):
        return [path for folder in (self.site_packages, self.scripts) for path in folder.rglob("*devpatch*")]


class Toolbox:
    """Creates environments. The build tools and artifacts are made only once, because it takes seconds."""

    def __init__(self, new_folder) -> None:
        self._new_folder = new_folder
        self._tools = Environment.create(new_folder("tools") / "environment")
        self.pip(self._tools, "install", "--upgrade", "pip", "build", "setuptools")
        self._artifacts: dict[str, Path] = {}

    def environment(self) -> Environment:
        # The toolbox's pip installs into the environment with its option --python.
        return Environment.create(self._new_folder("fresh") / "environment", "--without-pip")

    def pip(self, environment, *arguments):
        target = () if environment is self._tools else ("--python", environment.python)
        execute_checked(self._tools.python, "-m", "pip", *target, *arguments, cwd=environment.folder)

    def uv(self, environment, *arguments):
        command = [shutil.which("uv")] if shutil.which("uv") else [sys.executable, "-m", "uv"]
        execute_checked(*command, "pip", *arguments, "--python", environment.python, cwd=environment.folder)

    def sources(self) -> Path:
        """Copy the repository, because a build leaves files in its folder."""
        copy = self._new_folder("sources") / "devpatch"
        listing = execute("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=REPOSITORY)
        if listing.returncode == 0:
            for name in filter(None, listing.stdout.split("\0")):
                if (REPOSITORY / name).is_file():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(REPOSITORY / name, copy / name)
        else:
            unwanted = shutil.ignore_patterns(
                ".git", ".nox", ".venv", "build", "dist", "*.egg-info", "__pycache__"
            )
            shutil.copytree(REPOSITORY, copy, ignore=unwanted)
        return copy

    def artifact(self, suffix: str) -> Path:
        """Build the sdist, and the wheel from it. Return the one with this suffix."""
        if not self._artifacts:
            out = self._new_folder("dist")
            self.build(self.sources(), out)
            self._artifacts = {name: next(out.glob(f"*{name}")) for name in (".whl", ".tar.gz")}
        return self._artifacts[suffix]

    def build(self, sources: Path, out: Path) -> None:
        """Build the sdist and the wheel of ``sources`` into the folder ``out``."""
        build = (self._tools.python, "-m", "build", "--no-isolation", "--outdir", out)
        execute_checked(*build, sources, cwd=sources)
