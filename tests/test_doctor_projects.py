"""`devpatch doctor`: commands in the wrong folder, functions that are not there, and variables in files."""

from __future__ import annotations

import os
import sys
import sysconfig

import pytest
from projects import django_files, flask_files
from test_doctor import FLASK, MANAGE, ON, doctor, folder_of, problem, problems  # noqa: F401

pytestmark = pytest.mark.long


class TestFolders:
    """Commands in a folder where the project is not."""

    @pytest.mark.parametrize(("here", "there"), [("site", "."), ("site/app", "."), (".", "site")])
    @pytest.mark.parametrize("command", [(), MANAGE, ("env", *MANAGE)], ids=["none", "python", "wrapper"])
    def test_a_django_project_above_or_below(self, doctor, here, there, command):  # noqa: F811
        pytest.importorskip("django")
        root = folder_of(doctor, "")
        files = {f"{there}/{name}": text for name, text in django_files().items()}
        found = doctor(*command, files={**files, f"{here}/wsgi.py": ""}, cwd=root / here, **ON)
        text = problem(found)
        folder = str(root / there) if there == "." else there
        assert text.startswith("there is no manage.py in ")
        assert f"; one is in {root / there} | " in text
        assert f"| cd {folder}, and " in text
        assert found["server"] is None

    def test_a_script_that_is_nowhere(self, doctor):  # noqa: F811
        text = problem(doctor(sys.executable, "-W", "ignore", "shop.py", **ON))
        assert text.startswith(f"there is no shop.py in {folder_of(doctor, '')} | ")

    def test_a_flask_application_in_wsgi_py(self, doctor):  # noqa: F811
        pytest.importorskip("flask")
        found = doctor(files={"wsgi.py": flask_files()["app.py"]}, DEVPATCH_FAILFAST="1")
        assert found["verdict"] == "fail-fast will work here with flask run"

    @pytest.mark.parametrize(
        ("command", "what", "todo"),
        [
            (("runserver",), "runserver: command not found", "did you mean: python manage.py runserver?"),
            (
                ("manage.py", "runserver"),
                "manage.py is not executable",
                "did you mean: python manage.py runserver?",
            ),
            (("no-such-command",), "no-such-command: command not found", "check its name"),
        ],
    )
    def test_a_program_that_is_not_there(self, doctor, command, what, todo):  # noqa: F811
        text = problem(doctor(*command, files={"manage.py": ""}, **ON))
        assert text.startswith(f"{what} | the command can't be run | {todo}")

    def test_a_file_names_the_flask_application(self, doctor):  # noqa: F811
        pytest.importorskip("flask")
        pytest.importorskip("dotenv")
        files = {".flaskenv": "FLASK_APP=site_of\n", "site_of.py": flask_files()["app.py"]}
        found = doctor(files=files)
        assert found["command"][1:] == ["-m", "flask", "run", "--debug"]
        assert found["works"]

    def test_code_that_is_broken(self, doctor):  # noqa: F811
        """It is the case for fail-safe, and not a command that starts no server."""
        pytest.importorskip("flask")
        (found,) = problems(doctor(*FLASK, files={"app.py": "x = (\n"}, DEVPATCH_FAILSAFE="1"))
        assert "SyntaxError: '(' was never closed" in found["why"]
        assert found["todo"].startswith("repair the error, and ask again")


DEVPATCH = os.path.join(sysconfig.get_path("scripts"), "devpatch")


class TestOtherPrograms:
    """A program in front of Python's command line, which sets a switch in time."""

    @pytest.mark.parametrize(
        "before", [("env", "DEVPATCH_FAILSAFE=1"), (DEVPATCH, "run", "--failsafe", "--")], ids=["env", "run"]
    )
    @pytest.mark.parametrize("given", [{}, {"DEVPATCH_FAILFAST": "1"}], ids=["none", "fail-fast"])
    def test_its_switch_is_on(self, doctor, before, given):  # noqa: F811
        pytest.importorskip("django")
        found = doctor(*before, *MANAGE, files=django_files(), **given)
        assert (found["works"], problems(found)) == (True, [])
        assert set(found["working"]) == {"fail-safe", *(["fail-fast"] if given else [])}

    def test_its_switch_has_no_effect(self, doctor):  # noqa: F811
        pytest.importorskip("django")
        words = (DEVPATCH, "run", "--failsafe", "--", *MANAGE, "--noreload")
        assert problem(doctor(*words, files=django_files())).startswith(
            "fail-safe has no effect on runserver | "
        )

    def test_it_reads_a_file(self, doctor):  # noqa: F811
        """As Docker Compose and `uv run --env-file .env` do."""
        pytest.importorskip("django")
        shell = ("sh", "-c", f"set -a; . ./.env; exec {' '.join(MANAGE)}")
        found = doctor(*shell, files={**django_files(), ".env": FAILSAFE})
        assert (found["works"], found["working"]) == (True, ["fail-safe"])


class TestOnError:
    FLASK_DEBUG = (*FLASK, "--debug")
    RECEIVER = "def report(event): pass\ntext = 'x'\n"

    def files(self, framework, receiver=RECEIVER):
        files = flask_files() if framework == "flask" else django_files()
        return {**files, "receiver.py": receiver}

    def ask(self, doctor, framework, name, **more):  # noqa: F811
        pytest.importorskip(framework)
        command = self.FLASK_DEBUG if framework == "flask" else MANAGE
        return doctor(*command, files=self.files(framework, **more), DEVPATCH_ON_ERROR=name)

    @pytest.mark.parametrize("framework", ["django", "flask"])
    def test_a_function_that_is_there(self, doctor, framework):  # noqa: F811
        found = self.ask(doctor, framework, "receiver:report")
        assert (found["works"], found["working"]) == (True, ["on-error"])

    @pytest.mark.parametrize("framework", ["django", "flask"])
    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("no_such:report", "can't be imported: ModuleNotFoundError: No module named 'no_such'"),
            (
                "receiver:reprot",
                "can't be imported: AttributeError: module 'receiver' has no attribute 'reprot'",
            ),
            ("receiver:text", "can't be called"),
            (
                "receiver:report,no_such:f",
                "can't be imported: ModuleNotFoundError: No module named 'no_such'",
            ),
        ],
    )
    def test_one_that_is_not(self, doctor, framework, name, reason):  # noqa: F811
        what, why, todo = problem(self.ask(doctor, framework, name)).split(" | ")
        assert what == f"DEVPATCH_ON_ERROR={name.rpartition(',')[2]!r} {reason}"
        assert why == "a development server refuses to start with it"
        assert "package.module:function" in todo

    def test_a_module_that_can_not_be_loaded(self, doctor):  # noqa: F811
        found = self.ask(doctor, "django", "receiver:report", receiver="1/0")
        assert "can't be imported: ZeroDivisionError: division by zero" in problem(found)


FAILFAST = "DEVPATCH_FAILFAST=1\n"
FAILSAFE = "DEVPATCH_FAILSAFE=1\n"
LOAD = "import dotenv; dotenv.load_dotenv('.env')"


class TestVariablesInFiles:
    @pytest.mark.parametrize("file", [".env", ".flaskenv"])
    def test_without_a_project(self, doctor, file):  # noqa: F811
        shown = problem(doctor(files={file: FAILSAFE}))
        assert f"DEVPATCH_FAILSAFE is set in {file}, but not in the environment" in shown
        assert "devpatch run --failsafe -- COMMAND" in shown

    @pytest.mark.parametrize(("text", "option"), [(FAILFAST, "--failfast"), (FAILSAFE, "--failsafe")])
    @pytest.mark.parametrize(
        ("file", "why"),
        [(".env", "Django reads no .env"), (".flaskenv", "only `flask run` with python-dotenv")],
    )
    def test_django_reads_none(self, doctor, text, option, file, why):  # noqa: F811
        pytest.importorskip("django")
        found = doctor(files={**django_files(), file: text})
        shown = problem(found)
        assert f"{text[:17]} is set in {file}, but this command does not read it | {why}" in shown
        assert f"devpatch run {option} -- {sys.executable} manage.py runserver" in shown
        assert found["working"] == []

    @pytest.mark.parametrize("reloads", [True, False])
    def test_the_settings_read_it(self, doctor, reloads):  # noqa: F811
        """With the reloader, the process that serves has the variables from its start. Fail-safe acts in the first."""
        pytest.importorskip("django")
        pytest.importorskip("dotenv")
        files = {**django_files(settings=LOAD), ".env": FAILFAST}
        command = MANAGE if reloads else (*MANAGE, "--noreload")
        found = doctor(*command, files=files)
        if reloads:
            assert (found["works"], found["working"]) == (True, ["fail-fast"])
        else:
            assert "DEVPATCH_FAILFAST is set in .env, which is too late | " in problem(found)
            assert found["working"] == []
        found = doctor(*MANAGE, files={".env": FAILFAST + FAILSAFE})
        assert "DEVPATCH_FAILSAFE is set in .env, which is too late | it has to be set before" in problem(
            found
        )
        assert found["working"] == ["fail-fast"]

    @pytest.mark.parametrize("file", [".env", ".flaskenv"])
    def test_flask_reads_both(self, doctor, file):  # noqa: F811
        pytest.importorskip("flask")
        pytest.importorskip("dotenv")
        found = doctor(files={**flask_files(), file: FAILFAST})
        assert (found["works"], found["working"]) == (True, ["fail-fast"])
        assert found["verdict"] == "fail-fast will work here with flask run"
        shown = problem(doctor(*FLASK))
        assert (
            f"DEVPATCH_FAILFAST is set in {file}, which is too late | it has to be set before Python" in shown
        )
        found = doctor(files={file: FAILFAST + "DEVPATCH_FASTRELOAD=1"})
        assert f"DEVPATCH_FASTRELOAD is set in {file}, which is too late" in problem(found)
        assert found["working"] == ["fail-fast"]

    def test_flask_that_does_not_load_it(self, doctor):  # noqa: F811
        pytest.importorskip("flask")
        shown = problem(doctor(files={**flask_files(), ".env": FAILFAST}, FLASK_SKIP_DOTENV="1"))
        assert (
            "DEVPATCH_FAILFAST is set in .env, but this command does not read it | Flask reads it only"
            in shown
        )

    @pytest.mark.parametrize(("name", "works"), [("DEVPATCH_FAILSAFE", False), ("DEVPATCH_FAILFAST", True)])
    def test_manage_py_sets_it(self, doctor, name, works):  # noqa: F811
        pytest.importorskip("django")
        files = django_files(manage=f"os.environ.setdefault('{name}', '1')")
        found = doctor(files=files)
        if works:
            assert found["working"] == ["fail-fast"]
        else:
            assert f"{name} is set in manage.py, which is too late" in problem(found)

    def test_the_program_sets_it(self, doctor):  # noqa: F811
        pytest.importorskip("django")
        files = django_files(settings="import os; os.environ['DEVPATCH_FAILSAFE'] = '1'")
        found = doctor(files=files, DEVPATCH_FAILFAST="1")
        assert "DEVPATCH_FAILSAFE is set in the program, which is too late" in problem(found)
        assert found["working"] == ["fail-fast"]

    def test_disable(self, doctor):  # noqa: F811
        pytest.importorskip("flask")
        pytest.importorskip("dotenv")
        text = problem(doctor(files={**flask_files(), ".env": "DEVPATCH_DISABLE=1"}, DEVPATCH_FAILFAST="1"))
        assert (
            text == "DEVPATCH_DISABLE is set in .env | it turns off every other switch | remove it from .env"
        )

    def test_a_misspelt_one(self, doctor):  # noqa: F811
        text = problem(doctor(files={".env": "DEVPATCH_FAILSAVE=1"}))
        assert "DEVPATCH_FAILSAVE in .env is not a switch of devpatch" in text
        assert "did you mean DEVPATCH_FAILSAFE?" in text

    @pytest.mark.parametrize("line", ["# DEVPATCH_FAILSAFE=1", "DEVPATCH_FAILSAFE=0", "DEVPATCH_FAILSAFE="])
    def test_one_that_is_off(self, doctor, line):  # noqa: F811
        assert doctor(files={".env": line + "\n"})["works"]

    @pytest.mark.parametrize("line", ["export DEVPATCH_FAILSAFE='1' # on", '  DEVPATCH_FAILSAFE = "yes"'])
    def test_how_it_may_be_written(self, doctor, line):  # noqa: F811
        assert "DEVPATCH_FAILSAFE is set in .env" in problem(doctor(files={".env": line}))
