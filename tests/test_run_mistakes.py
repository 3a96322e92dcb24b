"""`devpatch run`: what a hand types wrong, and a server whose code is broken before the tests begin."""

from __future__ import annotations

import subprocess
import sys

import pytest
from harness import TIMEOUT, clean_environment, free_port
from projects import RUNSERVER, django_files
from test_run import RUN, run

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
