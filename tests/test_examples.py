"""Each example: the commands of examples/README.md, the CI recipe, and the container's command, as they are written."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import TIMEOUT, DevServer, clean_environment, free_port, wait_for
from installing import REPOSITORY

pytestmark = pytest.mark.long
EXAMPLES = REPOSITORY / "examples"
SCRIPTS = str(Path(sys.executable).parent)
ROW = re.compile(r"^\| `(\w+)` \| .* \| `(.+)` \|$", re.MULTILINE)
COMMANDS = ROW.findall((EXAMPLES / "README.md").read_text())
NEEDS = {
    "django_project": "django",
    "flask_app": "flask",
    "flask_factory": "flask",
    "werkzeug_app": "werkzeug",
}


@pytest.fixture
def copy(tmp_path):
    """A copy of the examples, because servers write files."""
    return shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))


def environment(**variables):
    return clean_environment(**{**variables, "PATH": os.pathsep.join([SCRIPTS, os.environ["PATH"]])})


@pytest.fixture
def start(tmp_path):
    started = []

    def start(folder, words, port, **variables):
        logs = tmp_path / "logs"
        logs.mkdir()
        program = shutil.which(words[0], path=SCRIPTS)
        assert program, f"{words[0]} is not installed"
        server = DevServer([program, *words[1:]], folder, logs, port, environment(**variables))
        started.append(server)
        return server.start()

    yield start
    for server in started:
        server.kill()


def wait_until_it_answers(server):
    server.wait_until_listening()
    assert server.get("/").body == b"Hello from the polls.\n"


def test_each_folder_is_in_the_table():
    assert len(COMMANDS) >= 7
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {folder for folder, _command in COMMANDS} | {"oops", "ci", "docker_compose"} == folders


@pytest.mark.parametrize(("folder", "command"), COMMANDS, ids=[f"{f} {c}" for f, c in COMMANDS])
def test_the_commands_of_the_table(copy, start, folder, command):
    """The first page answers. The second one fails, and the server ends with exit status 1."""
    pytest.importorskip(NEEDS.get(folder, "wsgiref"))
    if "runserver_plus" in command:
        pytest.importorskip("django_extensions")
    port = free_port()
    words = shlex.split(re.sub(r"\b[58]000\b", str(port), command))
    variables = {}
    while "=" in words[0]:
        name, _equals, value = words.pop(0).partition("=")
        variables[name] = value
    server = start(copy / folder, words, port, **variables)
    wait_until_it_answers(server)
    assert server.get("/results/").status == 500
    assert server.exit_status() == 1, server.stderr
    assert "ZeroDivisionError" in server.stderr
    server.assert_nothing_left()


@pytest.mark.skipif(not importlib.util.find_spec("django"), reason="no Django")
class TestCI:
    """What the recipe promises: the run ends with the server's error, immediately, and with its exit status."""

    def run(self, copy, command, folder="."):
        port = str(free_port())
        for path in (*copy.rglob("*.sh"), *copy.rglob("*.yml")):
            path.write_text(path.read_text().replace("8000", port))
        command = command.replace("8000", port)
        return subprocess.run(
            ["sh", "-ec", command],
            cwd=copy / folder,
            env=environment(URL=f"http://127.0.0.1:{port}"),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            stdin=subprocess.DEVNULL,
        )

    def steps(self, copy):
        """Return the commands of the workflow by the names of their steps."""
        text = (copy / "ci" / "github-actions.yml").read_text()
        found = re.findall(
            r"- name: (.+)\n(?:        if: .*\n)?        run: (?:>\n)?((?:.*\n)(?:          .*\n)*)", text
        )
        return {name: " ".join(lines.split()) for name, lines in found}

    @pytest.mark.parametrize("way", ["script", "workflow"])
    def test_a_server_that_fails(self, copy, way):
        """The tests would wait for a minute after the server's error."""
        tests = copy / "ci" / "e2e.py"
        tests.write_text(tests.read_text() + "\nimport atexit, time; atexit.register(time.sleep, 60)\n")
        command = "sh ci/ci.sh" if way == "script" else self.steps(copy)["End-to-end tests"]
        result = self.run(copy, command, "." if way == "script" else "django_project")
        assert result.returncode == (9 if way == "script" else 1), result.stderr
        assert "ZeroDivisionError: division by zero" in result.stderr
        assert result.stderr.splitlines()[-1].startswith("devpatch: the server ended with exit status ")
        shown = self.run(copy, self.steps(copy)["The server's errors"], "django_project")
        assert shown.returncode == 0
        assert "polls/views.py:10 in results" in shown.stdout
        assert "average = sum(votes) / len(votes)" in shown.stdout

    def mend(self, copy):
        views = copy / "django_project" / "polls" / "views.py"
        views.write_text(views.read_text().replace("votes = []", "votes = [1]"))

    def test_a_run_that_passes(self, copy):
        self.mend(copy)
        result = self.run(copy, "sh ci/ci.sh")
        assert result.returncode == 0, result.stderr
        assert "Ran 2 tests" in result.stderr

    def test_a_test_that_fails(self, copy):
        self.mend(copy)
        tests = copy / "ci" / "e2e.py"
        tests.write_text(tests.read_text().replace("200)", "201)"))
        result = self.run(copy, "sh ci/ci.sh")
        assert result.returncode == 1
        assert "FAILED (failures=2)" in result.stderr

    def test_code_that_can_not_be_loaded(self, copy):
        settings = copy / "django_project" / "mysite" / "settings.py"
        settings.write_text("def (\n")
        result = self.run(copy, "sh ci/ci.sh")
        assert result.returncode == 1
        assert "SyntaxError" in result.stderr
        assert "before it answered" in result.stderr


def test_the_command_of_the_container(copy, start):
    """There is no container here: its command runs with its variables in the folder that is its volume."""
    pytest.importorskip("django")
    text = (copy / "docker_compose" / "compose.yaml").read_text()
    port = free_port()
    words = [
        word.replace("8000", str(port))
        for word in re.findall(r'"(.+?)"', re.search(r"command: (.*)", text)[1])
    ]
    variables = dict(re.findall(r"^ +(DEVPATCH_\w+): \"?(.+?)\"?$", text, re.MULTILINE))
    assert variables["DEVPATCH_FAILSAFE"] == "1"
    variables["DEVPATCH_EDITOR_PATHS"] = f"{copy / 'django_project'}=/home/me/polls"
    server = start(copy / "django_project", words, port, **variables)
    wait_until_it_answers(server)
    views = server.directory / "polls" / "views.py"
    views.write_text(f"{views.read_text()}\ndef (\n")
    wait_for(lambda: "waiting for a change" in server.stderr, lambda: server.stderr)
    page = server.get("/", headers=["Accept: text/html"]).body.decode()
    assert "vscode://file/home/me/polls/polls/views.py" in page
