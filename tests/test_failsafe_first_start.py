"""DEVPATCH_FAILSAFE at the first start: recognised server commands wait. Other programs crash."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest
from breakages import repaired, save
from harness import APPS, TIMEOUT, DevServer, clean_environment, free_port, wait_for
from hypothesis import given
from hypothesis import strategies as st
from servers import RELOADING_MODES
from test_failsafe import ON, is_waiting, stop_with_ctrl_c, wait_for_version, wait_until_broken

from devpatch.features.failsafe.supervisor.command_lines import Command, recognise, starts_a_server

BREAKAGES = {
    "syntax": lambda text: f"{text}\ndef (\n",
    "package": lambda text: f"import not_installed\n{text}",
    "exit": lambda text: f"import sys; sys.exit('enough of it')\n{text}",
}
MESSAGES = {"syntax": "SyntaxError", "package": "No module named 'not_installed'", "exit": "enough of it"}
# Files that the command itself loads.
FILES = {
    "django": ("manage.py", "site_under_test/settings.py", "shop/models.py"),
    "flask": ("flask_site.py", "django_site/site_under_test/gauge.py"),
    "bare": ("bare_site.py",),
}


def start_with_a_broken_file(serve_copy, mode, file, breakage):
    server, _source = serve_copy(mode, wait=False, **ON)
    server.kill()
    path = server.directory / file
    whole = path.read_text()
    save(path, BREAKAGES[breakage](whole))
    server.start()
    return server, path, whole


@RELOADING_MODES
class TestHeld:
    @pytest.mark.parametrize(
        "breakage",
        ["syntax", *(pytest.param(name, marks=pytest.mark.variation) for name in ("package", "exit"))],
    )
    def test_it_waits_for_the_repair_and_runs_the_command_again(
        self, serve_copy, mode, breakage, pytestconfig
    ):
        """
        1. Start the command while a file that it loads is broken. It waits. If its address is known,
           the address shows the error.
        2. Repair the file. The same process serves, with one worker as its only child.
        3. Ctrl-C ends it with the server's exit status.
        """
        for file in FILES[mode.site][: 1 if pytestconfig.getoption("--short") else None]:
            if breakage == "exit" and is_plain_script(mode, file):
                continue
            server, path, whole = start_with_a_broken_file(serve_copy, mode, file, breakage)
            wait_for(lambda server=server: is_waiting(server), lambda server=server: server.stderr)
            assert MESSAGES[breakage] in server.stderr
            if "its address is not known yet" not in server.stderr:
                wait_until_broken(server, MESSAGES[breakage])
            pid = server.process.pid
            save(path, repaired(whole, 1))
            server.wait_until_ready()
            wait_for_version(server, 1)
            assert server.process.pid == pid
            if sys.platform == "linux":
                assert len(processes_of(pid)) == 2, processes_of(pid)
            stop_with_ctrl_c(server)

    def test_the_interpreter_is_the_one_that_was_typed(self, tmp_path):
        """The script has no suffix, like `./serve`, and Python is started by its name instead of its path."""
        pytest.importorskip("flask")
        script = tmp_path / "serve"
        record = (
            f"import sys; open({str(tmp_path / 'arguments')!r}, 'a').write(repr(sys.orig_argv) + '\\n')\n"
        )
        app = f"{record}from flask import Flask\napp = Flask(__name__)\n{{}}\napp.run(debug=True, port=0)\n"
        script.write_text(app.format("undefined"))
        folder, name = os.path.split(sys.executable)
        environ = clean_environment(**ON, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
        server = DevServer([name, "serve"], tmp_path, tmp_path, free_port(), environ)
        server.start()
        try:
            wait_for(lambda: is_waiting(server), lambda: server.stderr)
            save(script, app.format(""))
            wait_for(lambda: "Running on" in server.stderr, lambda: server.stderr)
        finally:
            server.kill()
        first, second = (tmp_path / "arguments").read_text().splitlines()[:2]
        assert first == second

    @pytest.mark.long
    def test_a_program_that_sets_its_own_excepthook_waits_too(self, serve_copy, mode):
        server, _source = serve_copy(mode, wait=False, **ON)
        server.kill()
        path = server.directory / FILES[mode.site][0]
        whole = path.read_text()
        save(
            path,
            f"import sys; sys.excepthook = lambda *_: print('mine')\nraise ValueError('broken')\n{whole}",
        )
        server.start()
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        save(path, repaired(whole, 1))
        server.wait_until_ready()
        stop_with_ctrl_c(server)

    @pytest.mark.long
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
    def test_signals_end_the_wait(self, serve_copy, mode, name):
        server, _path, _whole = start_with_a_broken_file(serve_copy, mode, FILES[mode.site][0], "syntax")
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        os.kill(server.process.pid, getattr(signal, name))
        assert server.exit_status() == 0
        server.assert_nothing_left()


def is_plain_script(mode, file) -> bool:
    return file == "manage.py" or mode.server in ("run_simple", "app.run")


def processes_of(group):
    listed = subprocess.run(["ps", "-ww", "-eo", "pgid=,pid=,args="], capture_output=True, text=True).stdout
    # From Python 3.14 on, multiprocessing starts a helper for Werkzeug's debugger, also without devpatch.
    helper = "multiprocessing.resource_tracker"
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and helper not in line]


BROKEN = "import flask\nraise ValueError('crash')\n"
OTHER = (
    "# flask\nimport asyncio, subprocess\nfrom flask import Flask\ndef setup(debug=True): pass\n"
    "async def main(): raise ValueError('crash')\n"
    "subprocess.run(['true'], check=True)\nasyncio.run(main(), debug=True)\n"
)
PLAIN = {
    "a script": ["crash.py"],
    "a script of another kind": ["other.py"],
    "an interactive script": ["-i", "interactive.py"],
    "a script that only imports Flask": ["imports_flask.py"],
    "python -c": ["-c", "raise ValueError('crash')"],
    "a module": ["-m", "crash"],
    "pytest": ["-m", "pytest", "-q", "crash.py"],
    "a script's exit": ["exits.py"],
    "migrate": ["manage.py", "migrate"],
    "check": ["manage.py", "check"],
    "shell": ["manage.py", "shell", "-c", "raise ValueError('crash')"],
    "runserver --noreload": ["manage.py", "runserver", "--noreload"],
    "runserver, wrong option": ["manage.py", "runserver", "--nonsense"],
    "runserver, wrong port": ["manage.py", "runserver", "nonsense"],
    "flask run without debug": ["-m", "flask", "--app", "crash", "run"],
    "flask run, wrong option": ["-m", "flask", "--app", "crash", "run", "--debug", "--nonsense"],
    "flask shell": ["-m", "flask", "--app", "crash", "shell"],
}


@pytest.mark.long
class TestNotHeld:
    @pytest.mark.parametrize("name", PLAIN)
    def test_any_other_program_crashes_as_without_the_switch(self, tmp_path, name):
        """The exit status and the output are the same."""
        pytest.importorskip("django")
        pytest.importorskip("flask")
        project = tmp_path / "project"
        shutil.copytree(APPS / "django_site", project)
        (project / "crash.py").write_text("raise ValueError('crash')\n")
        (project / "imports_flask.py").write_text(BROKEN)
        (project / "other.py").write_text(OTHER)
        (project / "interactive.py").write_text("import flask\ndef serve(): app.run(debug=True)\n1/0\n")
        (project / "exits.py").write_text("import flask, sys\n# app.run(debug=True)\nsys.exit('enough')\n")
        if PLAIN[name][0] == "manage.py" and "wrong" not in name:
            save(project / "site_under_test/settings.py", "raise ValueError('crash')\n")
        results = []
        for variables in ({}, ON):
            environ = clean_environment(PYTHONDONTWRITEBYTECODE="1", **variables)
            command = [sys.executable, *PLAIN[name]]
            options = {"cwd": project, "env": environ, "stdin": subprocess.DEVNULL}
            result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, **options)
            lines = [
                line
                for line in result.stderr.splitlines()
                if " in 0." not in line
                and line not in ("devpatch: fail-safe", "devpatch: fail-safe, fast reload")
            ]
            results.append((result.returncode, lines))
        assert results[0] == results[1]
        assert results[0][0] != 0 or "-i" in PLAIN[name]


class TestRecognition:
    @pytest.mark.parametrize(
        ("words", "environ", "expected"),
        [
            ("manage.py runserver", {}, Command("runserver", ("127.0.0.1", 8000, False))),
            ("./manage.py runserver 9000", {}, Command("runserver", ("127.0.0.1", 9000, False))),
            ("manage.py runserver -6 9000", {}, Command("runserver", ("::1", 9000, True))),
            ("manage.py runserver [::]:9000", {}, Command("runserver", ("::", 9000, True))),
            ("-X dev -W error manage.py runserver 0:80", {}, Command("runserver", ("0", 80, False))),
            ("-m django runserver web:80", {}, Command("runserver", ("web", 80, False))),
            (
                "/usr/bin/django-admin runserver_plus",
                {},
                Command("runserver_plus", ("127.0.0.1", 8000, False)),
            ),
            ("manage.py runserver_plus --cert-file x.crt", {}, Command("runserver_plus")),
            ("manage.py runserver --noreload", {}, None),
            ("manage.py runserver --help", {}, None),
            ("manage.py migrate runserver", {}, None),
            ("-um django runserver -v 2 9000", {}, Command("runserver", ("127.0.0.1", 9000, False))),
            ("manage.py runserver 94x", {}, Command("runserver")),
            ("-m flask run --debug -p9000 -h0.0.0.0", {}, Command("flask run", ("0.0.0.0", 9000, False))),
            ("-m flask run", {}, None),
            ("-m flask run --debug", {}, Command("flask run", ("127.0.0.1", 5000, False))),
            ("-m flask --debug run -p 80 -h ::1", {}, Command("flask run", ("::1", 80, True))),
            (
                "/venv/bin/flask --app run run --reload --port=81",
                {},
                Command("flask run", ("127.0.0.1", 81, False)),
            ),
            ("-m flask run", {"FLASK_DEBUG": "1"}, Command("flask run", ("127.0.0.1", 5000, False))),
            (
                "-m flask run --debug",
                {"FLASK_RUN_PORT": "82"},
                Command("flask run", ("127.0.0.1", 82, False)),
            ),
            ("-m flask run --debug --no-reload", {}, None),
            ("-m flask run --debug --cert adhoc", {}, Command("flask run")),
            ("-m flask shell --debug", {}, None),
            ("app.py --debug", {}, Command("the script", script="app.py")),
            ("-c pass runserver", {}, None),
            ("-m pytest runserver", {}, None),
            ("", {}, None),
        ],
    )
    def test_commands(self, words, environ, expected):
        assert recognise(["python", *words.split()], environ) == expected

    @pytest.mark.parametrize(
        ("text", "environ", "expected"),
        [
            ("import flask\napp.run(debug=True)", {}, True),
            ("from flask import Flask\nmake_app().run(host=f(1), debug='x' in y)", {}, True),
            ("from flask import Flask\napp.debug = True\napp.run()", {}, True),
            ("from flask import Flask\napp.run()", {"FLASK_DEBUG": "1"}, True),
            ("from werkzeug import run_simple\nrun_simple('x', 1, f(2), use_reloader=True)", {}, True),
            ("from flask import Flask\napp.run(host('::'), 5000, True)", {}, True),
            ("from flask import Flask\napp.run('::', 5000, False)", {}, False),
            ("from flask import Flask\napp.run()", {}, False),
            ("from flask import Flask\napp.run(debug=False)", {}, False),
            ("from flask import Flask\n# app.run(debug=True)", {}, False),
            ("# flask\napp.run(debug=True)", {}, False),
            (OTHER, {"FLASK_DEBUG": "1"}, False),
        ],
    )
    def test_scripts(self, tmp_path, text, environ, expected):
        (tmp_path / "app.py").write_text(text)
        assert starts_a_server(str(tmp_path / "app.py"), environ) is expected
        assert not starts_a_server(str(tmp_path / "gone.py"), environ)

    @given(
        st.lists(
            st.text(max_size=12)
            | st.sampled_from(["-m", "flask", "run", "runserver", "-p", "--port=", "manage.py", "-X"])
        )
    )
    def test_it_accepts_any_command_line(self, words):
        command = recognise(["python", *words], {})
        assert command is None or command.server
