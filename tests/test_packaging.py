"""Real installations into fresh environments: which files each one creates, and how Python then starts."""

from __future__ import annotations

import importlib.util
import os
import shutil
import zipfile

import pytest
from installing import REPOSITORY, RUN_TIMEOUT, SERVER_IMPORT, UNTOUCHED, WAITING, State, execute

pytestmark = pytest.mark.packaging


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
    by_script = execute(script, cwd=installed.folder, timeout=RUN_TIMEOUT)
    assert (by_module.returncode, by_module.stderr) == (0, "")
    assert (by_script.returncode, by_script.stderr) == (0, "")
    assert by_script.stdout == by_module.stdout != ""


def test_uninstalling_removes_every_file(installed, way, toolbox):
    """This is the last test that uses ``installed``. The others have left compiled files."""
    assert installed.files_of_devpatch()
    if way.startswith("uv"):
        toolbox.uv(installed, "uninstall", "devpatch")
        # uv leaves the compiled file of the finder that setuptools wrote. Nothing loads it any more.
        for compiled in installed.site_packages.glob("__pycache__/__editable___devpatch_*"):
            compiled.unlink()
    else:
        toolbox.pip(installed, "uninstall", "--yes", "devpatch")
    assert installed.files_of_devpatch() == []
    assert installed.state_after(DEVPATCH_FAILFAST="1") == UNTOUCHED


def test_the_wheel_has_the_package_and_the_start_up_file(toolbox):
    sources = toolbox.sources()
    package = {
        path.relative_to(sources).as_posix() for path in (sources / "devpatch").rglob("*") if path.is_file()
    }
    with zipfile.ZipFile(toolbox.artifact(".whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == package | {"devpatch.pth"}


# --- Starting --------------------------------------------------------------------------------------------


def test_a_program_without_a_server_does_not_load_wrapt(environment):
    """json and http.server are not modules of a development server. wsgiref.simple_server is one."""
    assert environment.state_after("import json, http.server", DEVPATCH_FAILFAST="1") == WAITING
    assert environment.state_after(SERVER_IMPORT, DEVPATCH_FAILFAST="1").loaded == ["devpatch", "wrapt"]


@pytest.mark.parametrize("value", ["1", "true", " YES ", "On"])
def test_disable_turns_everything_off(environment, value):
    state = environment.state_after(SERVER_IMPORT, DEVPATCH_DISABLE=value, DEVPATCH_FAILFAST="1")
    assert state == State(["devpatch"], True, [])


@pytest.mark.parametrize("option", ["-E", "-I"])
def test_an_interpreter_that_ignores_the_environment_ignores_devpatch(environment, option):
    state = environment.state_after(SERVER_IMPORT, option, DEVPATCH_FAILFAST="1")
    assert (state.started, state.finders, "wrapt" in state.loaded) == (False, [], False)


def test_without_site_packages_devpatch_does_not_start(environment):
    assert environment.state_after(SERVER_IMPORT, "-S", DEVPATCH_FAILFAST="1") == UNTOUCHED


@pytest.mark.parametrize("name", ["DEVPATCH_FAILFAST", "DEVPATCH_FAILFAST_EXIT_CODE", "DEVPATCH_FALFAST"])
def test_a_bad_value_or_name_does_not_affect_other_programs(environment, name):
    result = environment.run("-c", f"{SERVER_IMPORT}; print('fine')", **{name: "ture"})
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")


@pytest.mark.parametrize("how", ["second site directory", "PYTHONPATH"])
def test_a_second_installation_does_not_start(environment, tmp_path, how):
    """There is a second copy with a start-up file. Its folder is either another site directory, or the first
    folder on the path.
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
    if environment.run(*program).returncode != 0:  # For example, 3.12.1 crashes there when it imports ssl.
        pytest.skip("this Python's subinterpreters can't import a server without devpatch either")
    result = environment.run(*program, DEVPATCH_FAILFAST="1")
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "fine", "")
