"""`devpatch doctor`: the verdict and what it rests on, for real commands of real projects."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from harness import TIMEOUT, clean_environment, wait_for
from installing import Environment
from projects import django_files, flask_files

pytestmark = pytest.mark.long
ON = {"DEVPATCH_FAILFAST": "1", "DEVPATCH_THREADED": "1"}
MANAGE = (sys.executable, "manage.py", "runserver")
FLASK = (sys.executable, "-m", "flask", "run")


@pytest.fixture
def doctor(tmp_path):
    """Ask the doctor in a project with ``files``. Return its answer as data."""

    def ask(*command, files=None, **variables):
        for name, text in (files or {}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
            (tmp_path / name).write_text(text)
        result = subprocess.run(
            [sys.executable, "-m", "devpatch", "doctor", "--json", *(("--", *command) if command else ())],
            cwd=variables.pop("cwd", tmp_path),
            env=clean_environment(**variables),
            capture_output=True,
            text=True,
            timeout=TIMEOUT * 2,
        )
        found = json.loads(result.stdout)
        assert result.returncode == (0 if found["works"] else 1), result.stderr
        assert result.stderr == ""
        assert not (found["works"] and any(f["weight"] == "problem" for f in found["findings"]))
        return found

    return ask


def problems(found):
    """Return the findings that are no notes. There is a note about each neighbour, such as an installed debugger."""
    return [finding for finding in found["findings"] if finding["weight"] == "problem"]


def problem(found):
    """Return the only problem, as one text."""
    (only,) = problems(found)
    assert all(only.values()), only
    assert found["works"] is False
    assert found["verdict"] == "not ready: 1 problem"
    return " | ".join((only["what"], only["why"], only["todo"]))


class TestServers:
    def test_each_server_is_recognised(self, doctor, mode):
        """The command is started, and does not serve."""
        found = doctor(*mode.command(1), cwd=mode.directory, DEVPATCH_FAILFAST="1", **mode.environ)
        assert found["works"], found
        assert (found["server"], found["working"]) == (mode.server, ["fail-fast"])
        assert found["verdict"] == f"fail-fast will work here with {mode.server}"

    def test_without_a_command_it_is_the_projects(self, doctor):
        pytest.importorskip("django")
        found = doctor(files=django_files(), **ON)
        assert found["command"] == list(MANAGE)
        assert (found["server"], found["working"]) == ("runserver", ["fail-fast", "threaded"])

    def test_without_a_project(self, doctor):
        found = doctor(**ON)
        assert found["works"]
        assert found["verdict"] == "this Python is ready; no command was checked"
        assert "no project was found" in found["findings"][0]["what"]

    def test_no_switch_is_on(self, doctor):
        pytest.importorskip("flask")
        found = doctor(*FLASK, "--debug", files=flask_files())
        assert found["verdict"] == "everything is ready with flask run, and no switch is on"
        assert {"fail-fast", "threaded", "fail-safe"} <= set(found["working"])

    @pytest.mark.parametrize(
        ("framework", "command", "todo"),
        [
            ("flask", FLASK, "add --debug"),
            ("flask", (*FLASK, "--debug", "--no-reload"), "leave out --no-reload"),
            ("flask", (sys.executable, "app.py"), "pass debug=True to app.run()"),
            ("django", (*MANAGE, "--noreload"), "leave out --noreload"),
        ],
    )
    def test_without_a_reloader(self, doctor, framework, command, todo):
        """One finding for both features, which says how to turn the reloader on."""
        pytest.importorskip(framework)
        files = (
            flask_files(tail="if __name__ == '__main__': app.run()")
            if framework == "flask"
            else django_files()
        )
        found = doctor(*command, files=files, DEVPATCH_FASTRELOAD="1")
        what = f"fail-safe and fast reload have no effect on {found['server']}"
        assert problem(found) == f"{what} | it runs without a reloader | {todo}"
        found = doctor(*command)
        # There may be notes about neighbours, such as a debugger.
        (only,) = [row for row in found["findings"] if "no effect" in row["what"]]
        assert found["works"]
        assert only == {
            "weight": "note",
            "what": what.replace(" have ", " would have "),
            "why": "it runs without a reloader",
            "todo": f"to use them, {todo}",
        }

    def test_a_runserver_that_replaces_djangos(self, doctor):
        pytest.importorskip("django")
        command = "from django.core.management.commands.runserver import Command as Base\n"
        command += "class Command(Base):\n    def run(self, **options): print('serves in its own way')\n"
        files = django_files()
        files |= dict.fromkeys(("shop/management/__init__.py", "shop/management/commands/__init__.py"), "")
        files["shop/management/commands/runserver.py"] = command
        text = problem(doctor(*MANAGE, files=files, DEVPATCH_FAILFAST="1"))
        assert (
            "shop.management.commands.runserver.Command.run replaces Django's, and fail-fast lets no server"
            in text
        )

    def test_a_production_server(self, doctor):
        pytest.importorskip("gunicorn")
        pytest.importorskip("flask")
        command = (sys.executable, "-m", "gunicorn", "-b", "127.0.0.1:1", "app:app")
        text = problem(doctor(*command, files=flask_files(), DEVPATCH_FAILFAST="1"))
        assert "gunicorn is not a development server" in text
        found = doctor(*command, DEVPATCH_EXC_INFO="1")
        assert found["verdict"] == "DEVPATCH_EXC_INFO will work here with gunicorn"

    def test_code_that_can_not_be_loaded(self, doctor):
        pytest.importorskip("flask")
        command = (sys.executable, "app.py")
        text = problem(doctor(*command, files={"app.py": "import flask\n1/0"}, DEVPATCH_FAILSAFE="1"))
        assert "no development server had started" in text
        assert "ZeroDivisionError: division by zero" in text

    def test_a_program_that_serves_nothing(self, doctor):
        text = problem(doctor(sys.executable, "-c", "print('done')", **ON))
        assert "ended, and no development server had started" in text
        assert "done" in text

    @pytest.mark.parametrize("command", ["migrate", "flush", "shell"])
    def test_a_command_that_starts_no_server_is_not_run(self, doctor, command):
        files = {"manage.py": "open('ran', 'w')"}
        text = problem(doctor(sys.executable, "manage.py", command, files=files, **ON))
        assert text.startswith(f"`{command}` starts no server, so the doctor does not run it | ")
        assert not folder_of(doctor, "ran").exists()

    def test_a_child_of_the_command_is_ended(self, doctor):
        """It would keep a port."""
        child = "import time, os; open('child', 'w').write(str(os.getpid())); time.sleep(600)"
        code = "import subprocess, sys, time, pathlib\n"
        code += f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        code += "while not (pathlib.Path('child').exists() and pathlib.Path('child').read_text()): time.sleep(0.1)"
        problem(doctor(sys.executable, "app.py", files={"app.py": code}, **ON))
        number = int(folder_of(doctor, "child").read_text())
        wait_for(lambda: not is_alive(number), "the end of the child")

    def test_ctrl_c(self, tmp_path):
        code = "import os, time; open('child', 'w').write(str(os.getpid())); time.sleep(600)"
        (tmp_path / "app.py").write_text(code)
        command = [sys.executable, "-m", "devpatch", "doctor", sys.executable, "app.py"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), **pipes) as process:
            child = tmp_path / "child"
            wait_for(lambda: child.exists() and child.read_text(), "the start of the command")
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=TIMEOUT) == ("", "")
            assert process.returncode == 130
        wait_for(lambda: not is_alive(int(child.read_text())), "the end of the command")


def folder_of(doctor, name):
    return Path(doctor.__closure__[0].cell_contents, name)


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    # A container may have nobody who reaps an orphan.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True).stdout
    return bool(state) and not state.startswith("Z")


class TestVariables:
    @pytest.mark.parametrize(
        ("variables", "what", "todo"),
        [
            ({"DEVPATCH_FALFAST": "1"}, "DEVPATCH_FALFAST is not a switch", "mean DEVPATCH_FAILFAST?"),
            ({"devpatch_failfast": "1"}, "devpatch_failfast is not a switch", "mean DEVPATCH_FAILFAST?"),
            ({"DEV_PATCH_FAILSAFE": "1"}, "DEV_PATCH_FAILSAFE is not a switch", "mean DEVPATCH_FAILSAFE?"),
            ({"DEVPATCH_FAILFAST": "ture"}, "DEVPATCH_FAILFAST='ture' is not valid", "use 1, true"),
            ({**ON, "DEVPATCH_DISABLE": "1"}, "DEVPATCH_DISABLE is set", "unset DEVPATCH_DISABLE"),
            (
                {"DEVPATCH_FAILFAST_EXIT_CODE": "7"},
                "DEVPATCH_FAILFAST_EXIT_CODE has no effect",
                "set DEVPATCH_FAILFAST=1",
            ),
        ],
    )
    def test_those_of_the_environment(self, doctor, variables, what, todo):
        text = problem(doctor(**variables))
        assert what in text
        assert todo in text

    def test_a_misspelt_one_in_ci(self, doctor):
        """There a server refuses to start with it, so the command is not started."""
        pytest.importorskip("django")
        found = doctor(files=django_files(), DEVPATCH_FALFAST="1", CI="true")
        why = "CI is set, so a development server refuses to start with it"
        assert problem(found) == (
            f"DEVPATCH_FALFAST is not a switch of devpatch | {why} | did you mean DEVPATCH_FAILFAST?"
        )
        assert found["server"] is None
        assert doctor(DEVPATCH_FALFAST="1")["server"] == "runserver"

    def test_an_adjustment_without_its_switch(self, doctor):
        text = problem(doctor(DEVPATCH_SUMMARY_SLOW="7"))
        assert text.split(" | ")[1] == "it only adjusts that switch, which is not set"

    def test_two_that_contradict_each_other(self, doctor):
        text = problem(doctor(DEVPATCH_FASTRELOAD="1", DEVPATCH_FAILSAFE="0"))
        assert text.startswith("DEVPATCH_FASTRELOAD='1' needs DEVPATCH_FAILSAFE, which is set to '0' | ")
        assert text.endswith(" | unset one of them")


class TestInterpreters:
    @pytest.mark.parametrize(
        ("option", "what"),
        [
            ("-S", "Python is started with -S"),
            ("-E", "with -E or -I"),
            ("-I", "with -E or -I"),
            ("-BIm", "-E or -I"),
        ],
    )
    def test_options_that_hide_the_environment_or_the_file(self, doctor, option, what):
        words = (option, "json.tool") if option.endswith("m") else (option, "app.py")
        assert what in problem(doctor(sys.executable, *words, files={"app.py": ""}, **ON))

    @pytest.mark.parametrize("wrapper", ["env", "env PYTHONDONTWRITEBYTECODE=1"])
    def test_the_python_behind_another_program(self, doctor, wrapper):
        words = (*wrapper.split(), sys.executable, "-I", "app.py")
        assert "with -E or -I" in problem(doctor(*words, files={"app.py": ""}, **ON))

    def test_a_python_without_devpatch(self, doctor, tmp_path):
        environment = Environment.create(tmp_path / "bare", "--without-pip")
        text = problem(doctor(str(environment.python), "app.py", files={"app.py": ""}, **ON))
        assert "devpatch is not installed in the command's Python" in text
        assert f"{environment.python} -m pip install devpatch" in text
        assert "devpatch run" in text

    def test_a_python_that_does_not_read_the_start_up_file(self, doctor, tmp_path):
        environment = Environment.create(tmp_path / "policy", "--without-pip")
        (environment.site_packages / "packages.pth").write_text(sysconfig.get_path("purelib"))
        text = problem(doctor(str(environment.python), "app.py", files={"app.py": ""}, **ON))
        assert "there is no start-up file (devpatch.pth)" in text or "did not start devpatch" in text
        assert "devpatch run" in text or "reinstall" in text

    def test_another_version(self, doctor, tmp_path):
        environment = Environment.create(tmp_path / "old", "--without-pip")
        for name in ("devpatch", "wrapt"):
            shutil.copytree(Path(sysconfig.get_path("purelib"), name), environment.site_packages / name)
        shutil.copy(Path(sysconfig.get_path("purelib"), "devpatch.pth"), environment.site_packages)
        gate = environment.site_packages / "devpatch" / "__init__.py"
        gate.write_text(gate.read_text().replace('__version__ = "', '__version__ = "0.0.'))
        text = problem(doctor(str(environment.python), "app.py", files={"app.py": ""}, **ON))
        assert "the command's Python has devpatch 0.0.0.1.0, and this is 0.1.0" in text

    def test_a_broken_wrapt(self, doctor, tmp_path):
        environment = Environment.create(tmp_path / "broken", "--without-pip")
        shutil.copytree(
            Path(sysconfig.get_path("purelib"), "devpatch"), environment.site_packages / "devpatch"
        )
        shutil.copy(Path(sysconfig.get_path("purelib"), "devpatch.pth"), environment.site_packages)
        text = problem(doctor(str(environment.python), "app.py", files={"app.py": ""}, **ON))
        assert "wrapt can't be imported: ModuleNotFoundError: No module named 'wrapt'" in text

    def test_a_script_with_a_shebang(self, doctor, tmp_path):
        script = tmp_path / "serve"
        script.write_text(f"#!{sys.executable} -S\n")
        script.chmod(0o755)
        assert "Python is started with -S" in problem(doctor(str(script), **ON))


class TestText:
    def ask(self, tmp_path, *words, **variables):
        command = [sys.executable, "-m", "devpatch", "doctor", *words]
        environ = clean_environment(**variables)
        return subprocess.run(
            command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=TIMEOUT
        )

    def test_the_verdict_comes_first(self, tmp_path):
        result = self.ask(tmp_path, DEVPATCH_FALFAST="1")
        assert (result.returncode, result.stderr) == (1, "")
        assert result.stdout.splitlines()[:5] == [
            "not ready: 1 problem",
            "",
            "problem: DEVPATCH_FALFAST is not a switch of devpatch",
            "  why: it has no effect",
            "  do:  did you mean DEVPATCH_FAILFAST?",
        ]

    def test_help(self, tmp_path):
        result = self.ask(tmp_path, "--help")
        assert result.returncode == 0
        assert "stopped before its server begins to serve" in " ".join(result.stdout.split())
