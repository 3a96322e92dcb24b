"""Real installs into fresh environments: what each way to install leaves there, and how Python starts then.

Nothing is imported from the checkout: every program runs with a fresh environment's interpreter.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import APPS, DevServer, clean_environment, free_port

pytestmark = pytest.mark.packaging

REPOSITORY = Path(__file__).parent.parent
INSTALL_LIMIT = 300.0  # seconds; an index may be slow
RUN_LIMIT = 40.0
SERVER_IMPORT = "import wsgiref.simple_server"

# What is loaded of devpatch and wrapt at the end of a program.
STATE = """
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


def execute(*command, cwd, limit=INSTALL_LIMIT, **variables):
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(**variables),
        capture_output=True,
        text=True,
        timeout=limit,
        stdin=subprocess.DEVNULL,
    )


def execute_well(*command, cwd):
    result = execute(*command, cwd=cwd)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment; its folder is also the directory that programs run in."""

    folder: Path
    python: Path
    site_packages: Path
    scripts: Path

    @classmethod
    def create(cls, folder, *options) -> Environment:
        execute_well(sys.executable, "-m", "venv", *options, folder, cwd=folder.parent)
        scripts = folder / ("Scripts" if os.name == "nt" else "bin")
        python = scripts / ("python.exe" if os.name == "nt" else "python")
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        return cls(folder, python, Path(execute_well(python, "-c", code, cwd=folder).strip()), scripts)

    def run(self, *arguments, **variables):
        return execute(self.python, *arguments, cwd=self.folder, limit=RUN_LIMIT, **variables)

    def state_after(self, code="", *options, **variables) -> State:
        """Run ``code``, which has to succeed and be silent, and tell what is loaded at its end."""
        result = self.run(*options, "-c", f"{code}\n{STATE}", **variables)
        assert (result.returncode, result.stderr) == (0, "")
        return State(**json.loads(result.stdout))

    def files_named_devpatch(self):
        return [path for place in (self.site_packages, self.scripts) for path in place.rglob("*devpatch*")]


class Toolbox:
    """Fresh environments, and the tools that build and install; made once, for all of that takes seconds."""

    def __init__(self, new_folder) -> None:
        self._new_folder = new_folder
        self._tools = Environment.create(new_folder("tools") / "environment")
        self.pip(self._tools, "install", "--upgrade", "pip", "build", "setuptools")
        self._artifacts: dict[str, Path] = {}

    def environment(self) -> Environment:
        # pip is the toolbox's, and runs in the environment's interpreter by its option --python.
        return Environment.create(self._new_folder("fresh") / "environment", "--without-pip")

    def pip(self, environment, *arguments):
        inside = () if environment is self._tools else ("--python", environment.python)
        execute_well(self._tools.python, "-m", "pip", *inside, *arguments, cwd=environment.folder)

    def uv(self, environment, *arguments):
        command = [shutil.which("uv")] if shutil.which("uv") else [sys.executable, "-m", "uv"]
        execute_well(*command, "pip", *arguments, "--python", environment.python, cwd=environment.folder)

    def sources(self) -> Path:
        """Copy the repository, for a build leaves its litter there."""
        copy = self._new_folder("sources") / "devpatch"
        listing = execute("git", "ls-files", "-z", "-co", "--exclude-standard", cwd=REPOSITORY)
        if listing.returncode == 0:
            for name in filter(None, listing.stdout.split("\0")):
                if (REPOSITORY / name).is_file():
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(REPOSITORY / name, copy / name)
        else:
            litter = shutil.ignore_patterns(
                ".git", ".nox", ".venv", "build", "dist", "*.egg-info", "__pycache__"
            )
            shutil.copytree(REPOSITORY, copy, ignore=litter)
        return copy

    def artifact(self, ending: str) -> Path:
        """Build the sdist, and from it the wheel; return the one whose name ends so."""
        if not self._artifacts:
            out = self._new_folder("dist")
            build = (self._tools.python, "-m", "build", "--no-isolation", "--outdir", out)
            execute_well(*build, self.sources(), cwd=out)
            self._artifacts = {end: next(out.glob(f"*{end}")) for end in (".whl", ".tar.gz")}
        return self._artifacts[ending]


@pytest.fixture(scope="session")
def toolbox(tmp_path_factory):
    return Toolbox(tmp_path_factory.mktemp)


@pytest.fixture(scope="module")
def environment(toolbox):
    """An environment with devpatch and wrapt, shared by the tests that change nothing in it."""
    environment = toolbox.environment()
    toolbox.pip(environment, "install", toolbox.artifact(".whl"))
    return environment


@pytest.fixture(scope="module")
def environment_without_wrapt(toolbox):
    environment = toolbox.environment()
    toolbox.pip(environment, "install", "--no-deps", toolbox.artifact(".whl"))
    return environment


@pytest.fixture
def serve(tmp_path):
    """Start a wsgiref server with an environment's interpreter; it is killed at the end of the test."""
    started = []

    def start(environment, **variables) -> DevServer:
        port = free_port()
        command = [str(environment.python), str(APPS / "bare_site.py"), str(port), "wsgiref"]
        server = DevServer(command, APPS, tmp_path, port, clean_environment(**variables))
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


def messages(server):
    """The lines of stderr that are not the server's log of requests."""
    return [line for line in server.stderr.splitlines() if not line.startswith("127.0.0.1 - - ")]


# --- Ways to install -------------------------------------------------------------------------------------

WAYS = {
    "pip": lambda tools, env: tools.pip(env, "install", tools.sources()),
    "pip-editable": lambda tools, env: tools.pip(env, "install", "--editable", tools.sources()),
    "wheel": lambda tools, env: tools.pip(env, "install", tools.artifact(".whl")),
    "sdist": lambda tools, env: tools.pip(env, "install", tools.artifact(".tar.gz")),
    "uv": lambda tools, env: tools.uv(env, "install", tools.sources()),
    "uv-editable": lambda tools, env: tools.uv(env, "install", "--editable", tools.sources()),
}


@pytest.fixture(scope="module", params=WAYS)
def way(request):
    if request.param.startswith("uv") and not (shutil.which("uv") or importlib.util.find_spec("uv")):
        pytest.skip("uv is not installed")
    return request.param


@pytest.fixture(scope="module")
def installed(way, toolbox):
    environment = toolbox.environment()
    WAYS[way](toolbox, environment)
    return environment


def test_the_start_up_file_is_in_site_packages(installed):
    expected = (REPOSITORY / "devpatch.pth").read_bytes()
    assert (installed.site_packages / "devpatch.pth").read_bytes() == expected


def test_a_variable_starts_devpatch(installed):
    assert installed.state_after(DEVPATCH_FAILFAST="1") == WAITING


def test_a_server_loads_wrapt(installed):
    assert "wrapt" in installed.state_after(SERVER_IMPORT, DEVPATCH_FAILFAST="1").loaded


def test_without_a_variable_nothing_is_loaded(installed):
    assert installed.state_after(SERVER_IMPORT) == UNTOUCHED


def test_wrapt_is_the_only_dependency(installed):
    code = "import importlib.metadata as m; print('\\n'.join(m.requires('devpatch')))"
    result = installed.run("-c", code)
    (requirement,) = (line for line in result.stdout.splitlines() if "extra ==" not in line)
    assert requirement.startswith("wrapt")
    assert sorted(requirement.removeprefix("wrapt").replace(" ", "").split(",")) == ["<3", ">=1.16"]


def test_the_status_command_runs(installed):
    script = shutil.which("devpatch", path=str(installed.scripts))
    assert script, "no console script"
    by_module = installed.run("-m", "devpatch")
    by_script = execute(script, cwd=installed.folder, limit=RUN_LIMIT)
    assert (by_module.returncode, by_module.stderr) == (0, "")
    assert (by_script.returncode, by_script.stderr) == (0, "")
    assert by_script.stdout == by_module.stdout != ""


def test_uninstalling_leaves_nothing(installed, way, toolbox):
    """The last of the tests that use ``installed``; they have left compiled files, too."""
    assert installed.files_named_devpatch()
    if way.startswith("uv"):
        toolbox.uv(installed, "uninstall", "devpatch")
        # uv forgets the compiled form of the finder that setuptools wrote; nothing loads it any more.
        for compiled in installed.site_packages.glob("__pycache__/__editable___devpatch_*"):
            compiled.unlink()
    else:
        toolbox.pip(installed, "uninstall", "--yes", "devpatch")
    assert installed.files_named_devpatch() == []
    assert installed.state_after(DEVPATCH_FAILFAST="1") == UNTOUCHED


def test_the_wheel_holds_the_package_and_the_start_up_file(toolbox):
    sources = toolbox.sources()
    package = {
        path.relative_to(sources).as_posix() for path in (sources / "devpatch").rglob("*") if path.is_file()
    }
    with zipfile.ZipFile(toolbox.artifact(".whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == package | {"devpatch.pth"}


# --- Starting --------------------------------------------------------------------------------------------


def test_a_program_without_a_server_does_not_pay_for_wrapt(environment):
    """1. Neither json nor http.server is a server module. 2. wsgiref.simple_server is one."""
    assert environment.state_after("import json, http.server", DEVPATCH_FAILFAST="1") == WAITING
    assert environment.state_after(SERVER_IMPORT, DEVPATCH_FAILFAST="1").loaded == ["devpatch", "wrapt"]


@pytest.mark.parametrize("value", ["1", "true", " YES ", "On"])
def test_disable_switches_all_off(environment, value):
    state = environment.state_after(SERVER_IMPORT, DEVPATCH_DISABLE=value, DEVPATCH_FAILFAST="1")
    assert state == State(["devpatch"], True, [])


@pytest.mark.parametrize("option", ["-E", "-I"])
def test_an_interpreter_that_ignores_the_environment_ignores_devpatch(environment, option):
    state = environment.state_after(SERVER_IMPORT, option, DEVPATCH_FAILFAST="1")
    assert (state.started, state.finders, "wrapt" in state.loaded) == (False, [], False)


def test_no_site_packages_no_devpatch(environment):
    assert environment.state_after(SERVER_IMPORT, "-S", DEVPATCH_FAILFAST="1") == UNTOUCHED


@pytest.mark.parametrize("name", ["DEVPATCH_FAILFAST", "DEVPATCH_FAILFAST_EXIT_CODE", "DEVPATCH_FALFAST"])
def test_a_bad_value_or_name_does_not_concern_other_programs(environment, name):
    result = environment.run("-c", f"{SERVER_IMPORT}; print('fine')", **{name: "ture"})
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")


@pytest.mark.parametrize("how", ["second site directory", "PYTHONPATH"])
def test_installed_twice_it_starts_once(environment, tmp_path, how):
    """A second copy, with its start-up file, in a directory that 1. another start-up calls a site directory
    or 2. stands first on the path.
    """
    copy, start_up = tmp_path / "copy", tmp_path / "start_up"
    shutil.copytree(environment.site_packages / "devpatch", copy / "devpatch")
    shutil.copy(environment.site_packages / "devpatch.pth", copy)
    start_up.mkdir()
    (start_up / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(copy)!r})")
    path = [start_up] if how == "second site directory" else [start_up, copy]
    variables = {"PYTHONPATH": os.pathsep.join(map(str, path)), "DEVPATCH_FAILFAST": "1"}
    code = f"import sys; assert {str(copy)!r} in sys.path"
    assert environment.state_after(code, **variables) == WAITING
    assert environment.state_after(f"{code}\n{SERVER_IMPORT}", **variables).loaded == ["devpatch", "wrapt"]


SUBINTERPRETER = f"""
try:
    import _interpreters as interpreters  # 3.13 and later
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
identifier = interpreters.create()
failure = run(identifier, '''{SERVER_IMPORT}; import sys; print("fine", flush=True)''')
assert failure is None, failure
interpreters.destroy(identifier)
"""


@pytest.mark.parametrize("before", ["pass", SERVER_IMPORT], ids=["alone", "after the main interpreter"])
def test_a_subinterpreter_imports_a_server(environment, before):
    if not any(importlib.util.find_spec(name) for name in ("_interpreters", "_xxsubinterpreters")):
        pytest.skip("this Python has no module for subinterpreters")
    program = ("-c", f"{before}\n{SUBINTERPRETER}")
    if environment.run(*program).returncode != 0:  # 3.12.1, say, dies of an import of ssl there.
        pytest.skip("this Python's subinterpreters can't import a server without devpatch either")
    result = environment.run(*program, DEVPATCH_FAILFAST="1")
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")


# --- Without a usable wrapt ------------------------------------------------------------------------------

BROKEN = {
    "RuntimeError": "raise RuntimeError('wrapt is\\nout of order')",
    "SyntaxError": "def (",
    "SystemExit": "raise SystemExit(0)",
    "another module": "'''Somebody's own wrapt.py.'''",
}


@pytest.fixture(params=["missing", *BROKEN])
def wrapt_trouble(request, tmp_path):
    """An environment, and the variables to run it with, in which wrapt is unusable."""
    if request.param == "missing":
        return request.getfixturevalue("environment_without_wrapt"), {}
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "wrapt.py").write_text(BROKEN[request.param])
    return request.getfixturevalue("environment"), {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize("code", ["import http.server", SERVER_IMPORT])
def test_without_wrapt_an_ordinary_program_runs(wrapt_trouble, code):
    environment, variables = wrapt_trouble
    result = environment.run("-c", f"{code}; print('fine')", DEVPATCH_FAILFAST="1", **variables)
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")


@pytest.mark.parametrize("value", ["1", "ture"])
def test_without_wrapt_a_server_that_was_to_be_guarded_refuses(wrapt_trouble, serve, value):
    """1. Fail-fast is on: the line names wrapt. 2. The value is bad: the line names the variable."""
    environment, variables = wrapt_trouble
    server = serve(environment, DEVPATCH_FAILFAST=value, **variables)
    assert server.exit_status() == 2
    (line,) = server.stderr.splitlines()
    assert line.startswith("devpatch:")
    assert ("wrapt" if value == "1" else "DEVPATCH_FAILFAST='ture'") in line


def test_without_wrapt_a_server_that_needs_no_guard_runs_with_one_line(wrapt_trouble, serve):
    environment, variables = wrapt_trouble
    server = serve(environment, DEVPATCH_FALFAST="1", **variables).until_ready()
    assert server.get("/ok/").body == b"ok"
    (line,) = messages(server)
    assert line.startswith("devpatch:")
    assert "wrapt" in line


def test_without_wrapt_a_server_with_all_off_runs_in_silence(wrapt_trouble, serve):
    environment, variables = wrapt_trouble
    server = serve(environment, DEVPATCH_FAILFAST="0", **variables).until_ready()
    assert messages(server) == []


# --- Without stderr --------------------------------------------------------------------------------------

CLOSE_STDERR = "import os, sys; os.close(2); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec that keeps the process")
def test_a_closed_stderr_does_not_break_a_start(wrapt_trouble, environment):
    """1. As usual. 2. With an unusable wrapt. stdout is the program's in both."""
    program = (
        "-c",
        CLOSE_STDERR,
        "-c",
        f"import sys; assert sys.stderr is None; {SERVER_IMPORT}; print('fine')",
    )
    troubled, variables = wrapt_trouble
    usual = environment.run(*program, DEVPATCH_FAILFAST="1")
    assert (usual.returncode, usual.stdout.strip()) == (0, "fine")
    result = troubled.run(*program, DEVPATCH_FAILFAST="1", **variables)
    assert (result.returncode, result.stdout.strip()) == (0, "fine")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no exec that keeps the process")
def test_a_closed_stderr_does_not_hide_a_refusal(environment_without_wrapt):
    site = (str(APPS / "bare_site.py"), str(free_port()), "wsgiref")
    result = environment_without_wrapt.run("-c", CLOSE_STDERR, *site, DEVPATCH_FAILFAST="1")
    assert (result.returncode, result.stdout) == (2, "")


# --- Versions of wrapt -----------------------------------------------------------------------------------


def fails_fast(server):
    assert server.until_ready().get("/view").status == 500
    assert server.exit_status() == 1
    assert any(line.startswith("devpatch:") and "boom in a view" in line for line in messages(server))


def test_fail_fast_works_as_installed(environment, serve):
    fails_fast(serve(environment, DEVPATCH_FAILFAST="1"))


def test_fail_fast_works_with_the_oldest_wrapt(toolbox, serve):
    environment = toolbox.environment()
    try:
        toolbox.pip(environment, "install", toolbox.artifact(".whl"), "wrapt==1.16.*")
    except AssertionError as error:
        pytest.skip(f"wrapt 1.16 can't be installed on this Python: {str(error)[-200:]}")
    fails_fast(serve(environment, DEVPATCH_FAILFAST="1"))
