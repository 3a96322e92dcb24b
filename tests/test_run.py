"""`devpatch run`: the switches as options; the command's signals, status and streams; a second command beside it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import sysconfig

import pytest
from harness import TIMEOUT, DevServer, clean_environment, free_port
from installing import Environment, execute
from projects import FLASK_RUN, RUNSERVER, django_files, flask_files
from servers import BY_ID
from test_failsafe_edits import Terminal

from devpatch import switches

RUN = (sys.executable, "-m", "devpatch", "run")
PRINT_VARIABLES = (
    "import json, os; print(json.dumps({n: v for n, v in os.environ.items() if n[:9] == 'DEVPATCH_'}))"
)
VALUES = {
    "DEVPATCH_FAILFAST_EXIT_CODE": "7",
    "DEVPATCH_ON_ERROR": "package.module:callable",
    "DEVPATCH_ERROR_LOG": "errors.jsonl",
    "DEVPATCH_SUMMARY_IGNORE": "/health",
    "DEVPATCH_EDITOR": "vscode",
    "DEVPATCH_EDITOR_PATHS": "/srv=/home/me",
}


def run(*words, **options):
    return subprocess.run(
        [*RUN, *words],
        env=clean_environment(**options.pop("variables", {})),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        **{"stdin": subprocess.DEVNULL, **options},
    )


def variables_of(*options):
    result = run(*options, "--", sys.executable, "-c", PRINT_VARIABLES)
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


class TestSwitches:
    @pytest.mark.parametrize("switch", switches.SWITCHES, ids=lambda switch: switch.name)
    def test_each_switch_is_an_option(self, switch):
        value = VALUES.get(switch.name, "1")
        assert switches.read({switch.name: value}).problems == []
        option = switch.flag if switch.is_on_or_off else f"{switch.flag}={value}"
        result = run(option, "--", sys.executable, "-c", PRINT_VARIABLES)
        assert json.loads(result.stdout) == {switch.name: value}

    def test_a_value_may_be_a_word_of_its_own(self):
        assert variables_of("--error-log", "a b.jsonl", "--threaded=8") == {
            "DEVPATCH_ERROR_LOG": "a b.jsonl",
            "DEVPATCH_THREADED": "8",
        }

    @pytest.mark.parametrize(("option", "value"), [("--fastreload", "1"), ("--fastreload=events", "events")])
    def test_fast_reload_with_and_without_a_value(self, option, value):
        assert variables_of(option) == {"DEVPATCH_FASTRELOAD": value}

    def test_options_after_the_command_are_the_commands(self):
        code = "import sys; print(sys.argv[1:])"
        result = run("--failfast", sys.executable, "-c", code, "--failfast", "--", "--all")
        assert result.stdout.strip() == "['--failfast', '--', '--all']"

    def test_all_is_each_feature_that_needs_no_value(self):
        expected = {s.name: "1" for s in switches.FEATURES if s.name not in VALUES}
        assert {
            "DEVPATCH_FAILFAST",
            "DEVPATCH_THREADED",
            "DEVPATCH_FAILSAFE",
            "DEVPATCH_FASTRELOAD",
        } <= expected.keys()
        assert variables_of("--all") == expected
        assert variables_of("--all", "--failfast=0") == {**expected, "DEVPATCH_FAILFAST": "0"}

    def test_a_bad_value(self):
        result = run("--failfast=ture", "--", sys.executable, "-c", "print('ran')")
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("devpatch: --failfast='ture' is not valid: use 1, true")

    def test_no_switch_at_all(self):
        result = run(sys.executable, "-c", "print('ran')")
        assert (result.returncode, result.stdout) == (0, "ran\n")
        assert result.stderr == "devpatch: no switch is on; `devpatch run --help` lists them\n"

    def test_help_has_each_switch(self):
        result = run("--help")
        assert result.returncode == 0
        for switch in switches.SWITCHES:
            assert f"{switch.flag} {'[=VALUE]' if switch.is_on_or_off else 'VALUE'}" in result.stdout

    def test_no_command(self):
        result = run("--failfast")
        assert (result.returncode, result.stdout) == (2, "")
        assert "name a command" in result.stderr


class TestCommand:
    def test_a_command_that_does_not_exist(self):
        result = run("--failfast", "--", "no-such-command-anywhere")
        assert (result.returncode, result.stdout) == (127, "")
        assert result.stderr == "devpatch: no-such-command-anywhere: command not found\n"

    def test_a_file_that_is_not_executable(self, tmp_path):
        script = tmp_path / "manage.py"
        script.touch()
        result = run("--failfast", "--", str(script))
        assert (result.returncode, result.stdout) == (126, "")
        assert result.stderr == f"devpatch: {script} is not executable; did you mean: python {script}?\n"

    @pytest.mark.parametrize("status", [0, 7, 255])
    def test_its_exit_status(self, status):
        assert (
            run("--failfast", "--", sys.executable, "-c", f"raise SystemExit({status})").returncode == status
        )

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
    def test_signals_reach_it(self, number):
        code = f"import signal, sys, time; signal.signal({int(number)}, lambda *_: sys.exit(9)); "
        code += "print('ready', flush=True); time.sleep(60)"
        command = [*RUN, "--failfast", "--", sys.executable, "-c", code]
        with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.send_signal(number)
            assert process.wait(TIMEOUT) == 9

    def test_signals_have_their_defaults(self):
        """Python ignores SIGPIPE. Other programs rely on it."""
        result = run("--failfast", "--", "sh", "-c", "yes | head -1; kill -PIPE $$; echo ignored")
        assert result.stdout == "y\n"
        assert result.returncode == -signal.SIGPIPE

    def test_stdin(self):
        result = run("--failfast", "--", sys.executable, "-c", "print(input())", input="a line", stdin=None)
        assert result.stdout == "a line\n"

    def test_the_terminal(self):
        code = "import sys; print(*(s.isatty() for s in (sys.stdin, sys.stdout, sys.stderr)), input())"
        command = [*RUN, "--failfast", "--", sys.executable, "-c", code]
        terminal = Terminal(command, os.curdir, clean_environment())
        terminal.type(b"typed\n")
        terminal.read_until("True True True typed")
        assert terminal.process.wait(TIMEOUT) == 0


@pytest.mark.long
class TestServers:
    @pytest.mark.parametrize("name", ["runserver-reload", "flask-run-debug", "wsgiref-threads"])
    def test_fail_fast_and_fail_safe(self, serve, name):
        if name not in BY_ID:
            pytest.skip("not installed")
        server = serve(BY_ID[name], wait=False)
        server.kill()
        server.command = [*RUN, "--failfast=strict", "--failfast-exit-code=9", "--", *server.command]
        server.start()
        server.wait_until_ready()
        assert "devpatch: fail-fast (strict, exit 9)" in server.stderr
        assert server.get("/view/").status == 500
        assert server.exit_status() == 9
        server.assert_nothing_left()


@pytest.fixture(scope="module")
def without_start_up_file(tmp_path_factory):
    """An environment with the packages of this one, in which no .pth file of theirs is read."""
    environment = Environment.create(tmp_path_factory.mktemp("policy") / "environment", "--without-pip")
    (environment.site_packages / "packages.pth").write_text(sysconfig.get_path("purelib"))
    return environment


@pytest.mark.long
class TestWithoutStartUpFile:
    def test_nothing_starts_devpatch_there(self, without_start_up_file):
        code = "import sys; print('devpatch' in sys.modules)"
        assert without_start_up_file.run("-c", code, DEVPATCH_FAILFAST="1").stdout == "False\n"

    @pytest.mark.parametrize("framework", ["django", "flask"])
    def test_fail_fast_works_with_its_reloader(self, without_start_up_file, tmp_path, framework):
        """The worker is a child, and so is the standby of fail-safe."""
        pytest.importorskip(framework)
        port = free_port()
        files = django_files() if framework == "django" else flask_files()
        command = RUNSERVER if framework == "django" else (*FLASK_RUN, "--debug")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        executable = str(without_start_up_file.python)
        words = [executable, "-m", "devpatch", "run", "--failfast", "--failsafe", "--", executable, *command]
        logs = tmp_path / "logs"
        logs.mkdir()
        words = [word.format(port=port) for word in words]
        server = DevServer(words, tmp_path, logs, port, clean_environment())
        server.start()
        try:
            server.wait_until_ready()
            assert "devpatch: fail-fast (exit 1), fail-safe" in server.stderr
            assert server.get("/view/").status == 500
            assert server.exit_status() == 1
            server.assert_nothing_left()
        finally:
            server.kill()


STATE = (
    "import json, sys; print(json.dumps([sys.path, 'sitecustomize' in sys.modules, "
    "getattr(sys, 'customized', None), 'devpatch' in sys.modules]))"
)


@pytest.fixture(scope="module")
def target(toolbox):
    """A folder made by `pip install --target`, which Python does not search for .pth files."""
    environment = toolbox.environment()
    toolbox.pip(environment, "install", "--target", environment.folder / "target", toolbox.artifact(".whl"))
    return environment.folder / "target"


@pytest.fixture(scope="module")
def bare(toolbox):
    return toolbox.environment()


@pytest.mark.packaging
class TestOtherEnvironments:
    def run_in(self, target, environment, *command, **variables):
        """Run `devpatch run` from ``target`` in this interpreter, and the command in ``environment``."""
        start = f"import sys; sys.path.insert(0, {str(target)!r}); from devpatch.__main__ import main; "
        words = [
            sys.executable,
            "-E",
            "-c",
            f"{start}sys.exit(main(sys.argv[1:]))",
            "run",
            "--failfast",
            "--",
        ]
        return execute(*words, environment.python, *command, cwd=target, timeout=TIMEOUT, **variables)

    def test_the_gate_reaches_a_python_that_has_no_devpatch(self, bare, target):
        child = "import sys; print(sys.modules['devpatch'].started)"
        code = (
            "import subprocess, sys, wsgiref.simple_server, wrapt, devpatch; print(devpatch.started, flush=True)\n"
            f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
        )
        result = self.run_in(target, bare, "-c", code)
        assert (result.stdout, result.stderr) == ("True\nTrue\n", "")

    @pytest.mark.parametrize(
        "customization",
        [None, "import sys; sys.customized = 1", "1/0", "import no_such_module"],
    )
    def test_python_starts_as_without_it(self, bare, target, tmp_path, customization):
        """``sys.path`` is the same, and the user's own sitecustomize runs."""
        if customization is not None:
            (tmp_path / "sitecustomize.py").write_text(customization)
        stock = bare.run("-c", STATE, PYTHONPATH=str(tmp_path))
        found = self.run_in(target, bare, "-c", STATE, PYTHONPATH=str(tmp_path))
        assert (found.returncode, found.stderr) == (stock.returncode, stock.stderr)
        assert found.stdout == stock.stdout.replace("false]", "true]")


SERVER = """
import sys, time
from wsgiref.simple_server import make_server
def application(environ, start_response):
    if environ["PATH_INFO"] == "/view/":
        raise ValueError("boom in a view")
    start_response("200 OK", [])
    return [b"ok"]
{head}
make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""
GET = "import urllib.request, sys; urllib.request.urlopen(sys.argv[1]).read()"


class Beside:
    """`devpatch run --with` of a small server and a Python program."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}/"

    def words(self, second, *options, head=""):
        (self.folder / "server.py").write_text(SERVER.format(head=head))
        server = [sys.executable, str(self.folder / "server.py"), str(self.port)]
        return [*options, "--url", self.url, "--with", second, "--", *server]

    def run(self, second, *options, **more):
        return run(*self.words(second, *options, **more))

    def program(self, code, *arguments):
        return shlex.join([sys.executable, "-c", code, *arguments])

    def assert_nothing_listens(self):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", self.port)) != 0


@pytest.fixture
def beside(tmp_path):
    return Beside(tmp_path)


class TestWith:
    @pytest.mark.parametrize("status", [0, 5])
    def test_the_second_command_ends(self, beside, status):
        result = beside.run(beside.program(f"print('tests'); raise SystemExit({status})"), "--failfast")
        assert (result.returncode, result.stdout) == (status, "tests\n"), result.stderr
        beside.assert_nothing_listens()

    @pytest.mark.parametrize("ending", ["", "; import time; time.sleep(60)", "; sys.exit(5)"])
    def test_the_server_fails(self, beside, ending):
        """The status is the server's, whether the tests wait, fail, or do not notice it."""
        code = "import sys, urllib.request, urllib.error\ntry: urllib.request.urlopen(sys.argv[1])\n"
        code += f"except urllib.error.HTTPError: pass{ending}"
        second = beside.program(code, beside.url + "view/")
        result = beside.run(second, "--failfast", "--failfast-exit-code=9")
        assert result.returncode == 9, result.stderr
        assert "devpatch: the server ended with exit status 9" in result.stderr
        assert result.stderr.count("ValueError: boom in a view") >= 1
        beside.assert_nothing_listens()

    def test_the_server_does_not_start(self, beside):
        result = beside.run(beside.program("print('tests')"), "--failfast", head="sys.exit(4)")
        assert (result.returncode, result.stdout) == (4, "")
        assert "devpatch: the server ended with exit status 4 before it answered" in result.stderr

    def test_the_server_ends_early_with_status_0(self, beside):
        head = "import threading, os; threading.Timer(4, os._exit, (0,)).start()"
        result = beside.run(beside.program("import time; time.sleep(60)"), head=head)
        assert result.returncode == 1
        assert "ended with exit status 0 before the second command did" in result.stderr

    def test_the_second_command_does_not_exist(self, beside):
        result = beside.run("no-such-command-anywhere --headless", "--failfast")
        assert result.returncode == 127
        assert result.stderr == "devpatch: no-such-command-anywhere: command not found\n"

    def test_it_has_no_switches(self, beside):
        result = beside.run(beside.program(PRINT_VARIABLES), "--failfast")
        assert json.loads(result.stdout) == {}

    def test_another_program_has_the_port(self, tmp_path):
        """Otherwise the second command would test that program."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = f"127.0.0.1:{other.getsockname()[1]}"
            server = (sys.executable, "manage.py", "runserver", address)
            result = run("--failfast", "--with", f"{sys.executable} -c print('ran')", "--", *server)
        assert (result.returncode, result.stdout) == (2, "")
        assert f"another program answers at http://{address}/ already" in result.stderr

    def test_an_unknown_address(self, tmp_path):
        result = run("--failfast", "--with", "true", "--", sys.executable, "server.py")
        assert result.returncode == 2
        assert "add --url http://127.0.0.1:PORT/" in result.stderr

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_both(self, beside, number):
        second = beside.program("print('tests', flush=True); import time; time.sleep(60)")
        command = [*RUN, *beside.words(second, "--failfast")]
        with subprocess.Popen(
            command, env=clean_environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as process:
            assert process.stdout.readline() == b"tests\n"
            process.send_signal(number)
            assert process.wait(TIMEOUT) == 128 + number
            assert process.stdout.read() == b""  # No process has it open any more.
        beside.assert_nothing_listens()

    @pytest.mark.long
    @pytest.mark.parametrize("framework", ["django", "flask"])
    @pytest.mark.parametrize("reloads", [True, False])
    def test_the_address_is_that_of_the_command(self, serve_project, framework, reloads):
        pytest.importorskip(framework)
        if framework == "django":
            files, command = django_files(), (*RUNSERVER, *(() if reloads else ("--noreload",)))
        else:
            files, command = flask_files(), (*FLASK_RUN, *(("--debug",) if reloads else ()))
        code = GET.replace("sys.argv[1]", "'http://127.0.0.1:{port}/view/'")
        second = shlex.join([sys.executable, "-c", code])
        words = ("-m", "devpatch", "run", "--failfast", "--with", second, "--", sys.executable, *command)
        server = serve_project(files, *words, wait=False)
        assert server.exit_status() == 1, server.stderr
        assert "answers, so this starts: " in server.stderr
        assert "devpatch: the server ended with exit status 1" in server.stderr
        server.assert_nothing_left()
