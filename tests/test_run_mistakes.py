"""`devpatch run`: what a hand types wrong, and a server whose code is broken before the tests begin."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import pytest
from harness import TIMEOUT, clean_environment, free_port, python
from projects import RUNSERVER, django_files
from test_run import GET, RUN, run

from devpatch import switches

VALUED = [switch.flag for switch in switches.SWITCHES if not switch.is_on_or_off]


@pytest.mark.parametrize("flag", VALUED)
def test_a_switch_without_its_value(flag):
    result = run(flag, "--", sys.executable, "-c", "print('ran')")
    assert (result.returncode, result.stdout) == (2, "")
    assert "expected one argument" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_value_without_its_sign():
    """The option needs no value, so the next word would be the command."""
    result = run("--threaded", "8", "--", sys.executable, "-c", "print('ran')")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--threaded=8" in result.stderr


def test_a_command_with_such_a_word_of_its_own():
    result = run("--threaded", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--", "8")
    assert (result.returncode, result.stdout) == (0, "['--', '8']\n")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--failsave", "--failsafe"),
        ("--fail-safe=1", "--failsafe"),
        ("-failfast", "--failfast"),
        ("--DEVPATCH_FAILFAST", "--failfast"),
        ("--eror-log=errors.jsonl", "--error-log"),
        ("--wiht=pytest", "--with"),
    ],
)
def test_a_misspelt_option(typed, meant):
    result = run(typed, "--", sys.executable, "-c", "print('ran')")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"devpatch: no option {typed.partition('=')[0]}; did you mean {meant}?\n"


def test_an_option_that_is_like_no_other():
    result = run("--gugus", "--", sys.executable, "-c", "print('ran')")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == "devpatch: no option --gugus; see `devpatch run --help`\n"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (("docter",), "no command docter; did you mean doctor?"),
        (("stats",), "no command stats; did you mean status?"),
        (("gugus",), "no command gugus; `devpatch --help` lists them"),
        (("--jsn",), "no option --jsn; did you mean --json?"),
        (("status", "--jsn"), "no option --jsn; did you mean --json?"),
        (
            ("doctor", "--failsafe", "--", "x"),
            "--failsafe is an option of `devpatch run`, and not of `devpatch doctor`",
        ),
        (("doctor", "--jsn"), "no option --jsn; did you mean --json?"),
        (("errors", "--folow", "x"), "no option --folow; did you mean --follow?"),
        (("summary", "--hmtl=x", "x"), "no option --hmtl; did you mean --html?"),
        (("errors", "a", "b"), "there is no place for 'b'; see `devpatch errors --help`"),
        (
            ("--failsafe", "--", "python"),
            "--failsafe is an option of `devpatch run`: devpatch run --failsafe -- COMMAND",
        ),
        (
            ("manage.py", "runserver"),
            "no command manage.py; to run a program with switches on: devpatch run --failsafe -- python manage.py ...",
        ),
    ],
)
def test_a_misspelt_command(typed, message):
    result = python("-m", "devpatch", *typed)
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"devpatch: {message}\n")


def test_a_bad_value_is_that_of_the_option():
    result = run("--threaded=-3", "--failfast=2", "--", sys.executable, "-c", "print('ran')")
    assert (result.returncode, result.stdout) == (2, "")
    first, second = result.stderr.splitlines()
    assert first.startswith("devpatch: --failfast='2' is not valid: use 1, true, yes, on, 0,")
    assert second == (
        "devpatch: --threaded='-3' is not valid: use 1 for any number of threads, 2 to 1024 for at most that many, "
        "or 0 for one request at a time (true, yes, on mean 1, and false, no, off mean 0)"
    )


class TestProgramsThatAreNotThere:
    def refused(self, *words, status=127, **options):
        result = run("--failsafe", "--", *words, **options)
        assert (result.returncode, result.stdout) == (status, "")
        return result.stderr.removesuffix("\n")

    @pytest.mark.parametrize("name", ["runserver", "runserver_plus"])
    def test_a_command_of_manage_py(self, name):
        assert self.refused(name, "8001") == (
            f"devpatch: {name}: command not found; did you mean: python manage.py {name} 8001?"
        )

    @pytest.mark.parametrize("name", ["manage.py", "app.py", "./app.py"])
    def test_a_script(self, tmp_path, name):
        (tmp_path / name).write_text("print('ran')")
        assert self.refused(name, "runserver", status=126, cwd=tmp_path) == (
            f"devpatch: {name} is not executable; did you mean: python {name} runserver?"
        )

    def test_an_executable_script_that_is_not_on_the_path(self, tmp_path):
        (tmp_path / "app.py").write_text("print('ran')")
        (tmp_path / "app.py").chmod(0o755)
        message = self.refused("app.py", status=126, cwd=tmp_path)
        assert message.endswith("shells do not look for commands here; did you mean: python app.py?")

    def test_an_executable_script_without_a_shebang(self, tmp_path):
        (tmp_path / "app.py").write_text("print('ran')")
        (tmp_path / "app.py").chmod(0o755)
        message = self.refused("./app.py", status=126, cwd=tmp_path)
        assert message.endswith("Exec format error; did you mean: python ./app.py?")

    def test_an_environment_that_is_not_active(self, tmp_path):
        """The program is beside the Python that runs devpatch."""
        name = os.path.basename(sys.executable)
        message = self.refused(name, variables={"PATH": str(tmp_path)})
        there = os.path.join(os.path.dirname(sys.executable), name)
        assert message == (
            f"devpatch: {name}: command not found; it is in the environment of devpatch: activate that, or name {there}"
        )

    def test_a_variable_in_front_of_the_command(self):
        message = self.refused("DEVPATCH_FAILFAST=strict", sys.executable, "app.py")
        assert message.endswith("; write it as --failfast=strict, before the command")


@pytest.mark.long
def test_the_error_page_of_fail_safe_is_no_answer_to_begin_tests_with(tmp_path):
    pytest.importorskip("django")
    for name, text in django_files(views="def broken(:\n").items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    second = f"{sys.executable} -c \"open('ran', 'w')\""
    command = [word.format(port=free_port()) for word in RUNSERVER]
    result = subprocess.run(
        [*RUN, "--all", "--with", second, "--", sys.executable, *command],
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode == 1
    assert "SyntaxError" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("devpatch: the server's code is broken, see above")
    assert not (tmp_path / "ran").exists()


def test_a_second_command_that_is_empty():
    """In a script, the variable with the command may be unset."""
    result = run("--failfast", "--with", "", "--", sys.executable, "-c", "print('ran')")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--with names no command" in result.stderr


@pytest.mark.parametrize("command", ["echo one; echo two", "true && echo two"])
def test_a_second_command_for_a_shell(command):
    result = run("--with", command, "--url", "http://127.0.0.1:1/", "--", sys.executable, "-c", "pass")
    assert "--with runs one command, without a shell" in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="needs a shell")
@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "the server ended with exit status 1"), (30, "the server did not end within 15 s")],
)
def test_a_server_that_fails_at_the_last_request_and_ends_late(serve_project, seconds, said):
    """Its parent needs longer, as on a busy machine, or never ends. The second command did not notice the failure."""
    pytest.importorskip("django")
    server = f"{shlex.quote(sys.executable)} {RUNSERVER[0]} runserver --noreload {{port}}"
    shell = ("sh", "-c", f"{server}; status=$?; sleep {seconds}; exit $status")
    get = GET.replace("sys.argv[1]", "'http://127.0.0.1:{port}/view/'").partition("; ")[2]
    code = f"import urllib.request\ntry:\n  {get}\nexcept Exception: pass"
    second = shlex.join([sys.executable, "-c", code])
    words = ("--failfast", "--with", second, "--url", "http://127.0.0.1:{port}/ok/", "--", *shell)
    ran = serve_project(django_files(), "-m", "devpatch", "run", *words, wait=False)
    assert ran.exit_status() == 1, ran.stderr
    assert said in ran.stderr
