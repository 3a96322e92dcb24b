"""Corner cases of fail-safe that were found by hand."""

from __future__ import annotations

import os
import sys
import time

import pytest
from breakages import repaired, save
from harness import DevServer, clean_environment, free_port, wait_for
from projects import FLASK
from servers import BY_ID
from test_failsafe import ON, is_waiting, stop_with_ctrl_c, wait_for_version, wait_until_broken

ONE_PER_RELOADER = pytest.mark.modes(choose=lambda mode: mode.id in ("runserver-reload", "app.run-debug"))
APP = FLASK.format(
    head="import sys\n{head}",
    version="{version}",
    tail="if __name__ == '__main__': app.run(debug=True, port=int(sys.argv[1]){options})",
)


@pytest.fixture
def flask_project(tmp_path):
    """Start a Flask application. Its source is ``APP`` with the test's own parts."""
    pytest.importorskip("flask")
    started = []

    def start(python=(), wait=True, options="", head="", **variables):
        def write(head="", version=0):
            save(tmp_path / "app.py", APP.format(head=head, version=version, options=options))

        write(head)
        port = free_port()
        command = [sys.executable, *python, "app.py", str(port)]
        server = DevServer(command, tmp_path, tmp_path, port, clean_environment(**{**ON, **variables}))
        started.append(server)
        server.start()
        if wait:
            server.wait_until_ready()
        return server, write

    yield start
    for server in started:
        server.kill()


@pytest.mark.long
@ONE_PER_RELOADER
class TestRepairsInPlace:
    """Some editors write into the existing file, so its inode stays the same."""

    def test_in_one_write(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        for version, pause in enumerate((0, 0.2, 0.5, 0.9), start=1):
            time.sleep(1.1)
            source.write_text("x = (\n")
            wait_until_broken(server, "SyntaxError")
            time.sleep(pause)
            source.write_text(repaired(whole, version))
            wait_for_version(server, version)
        stop_with_ctrl_c(server)

    def test_in_two_writes(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        for version, pause in enumerate((0.3, 0.9, 1.5), start=1):
            time.sleep(1.1)
            text = repaired(whole, version)
            half = text.index("(") + 1
            source.write_text(text[:half])
            time.sleep(pause)
            source.write_text(text)
            wait_for_version(server, version)
        stop_with_ctrl_c(server)

    def test_at_the_first_start(self, serve_copy, mode):
        server, source = serve_copy(mode, wait=False, **ON)
        server.kill()
        whole = source.read_text()
        source.write_text(whole[: whole.rindex(")")])
        server.start()
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        source.write_text(repaired(whole, 1))
        server.wait_until_ready()
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)


@pytest.mark.long
def test_a_setting_that_is_repaired_while_the_code_loads(flask_project, tmp_path):
    server, write = flask_project()
    settings = tmp_path / "settings.yaml"
    settings.write_text("bad")
    time.sleep(1.1)
    write(
        "text = open('settings.yaml').read(); print('loading', flush=True); import time; time.sleep(1)\n"
        "assert text.startswith('good')",
        version=1,
    )
    wait_for(lambda: "loading" in server.stdout, "the beginning of the load")
    settings.write_text("good, and longer")
    wait_for_version(server, 1)


class TestHooks:
    def test_a_program_may_call_the_hook_itself(self, flask_project):
        head = "try: 1 / 0\nexcept ZeroDivisionError: sys.excepthook(*sys.exc_info())"
        server, _write = flask_project(head=head)
        assert "ZeroDivisionError" in server.stderr
        assert not is_waiting(server)

    def test_an_error_in_a_thread_does_not_prevent_a_fail_fast_exit(self, flask_project):
        head = (
            "import threading\n"
            "threading.excepthook = lambda a: sys.excepthook(a.exc_type, a.exc_value, a.exc_traceback)\n"
            "threading.Thread(target=lambda: [][1]).start()"
        )
        server, _write = flask_project(head=head, DEVPATCH_FAILFAST="1")
        assert "IndexError" in server.stderr
        server.get("/view/")
        assert server.exit_status() == 1
        server.assert_nothing_left()


@pytest.mark.long
def test_a_home_directory_may_be_a_project(flask_project, tmp_path):
    """In a container HOME may hold the code. The hidden folders directly in HOME are not watched."""
    (tmp_path / "conf").mkdir()
    setting = tmp_path / "conf" / "setting.yaml"
    setting.write_text("bad")
    (tmp_path / ".cache").mkdir()
    server, _write = flask_project(
        wait=False, head="assert open('conf/setting.yaml').read() == 'good'", HOME=str(tmp_path)
    )
    wait_for(lambda: is_waiting(server), lambda: server.stderr)
    before = len(server.stderr)
    (tmp_path / ".cache" / "thing").write_text("x")
    time.sleep(1.5)
    assert "changed" not in server.stderr[before:]
    setting.write_text("good")
    server.wait_until_ready()


@pytest.mark.long
def test_a_thread_does_not_block_a_reload_forever(flask_project):
    head = "import threading, time\nthreading.Thread(target=lambda: time.sleep(1000)).start()"
    server, write = flask_project(head=head)
    time.sleep(4)  # longer than the time in which the supervisor checks for changes that the reloader missed
    write(version=1)
    wait_for_version(server, 1)
    assert "the server process did not end for the reload" in server.stderr


@pytest.mark.long
def test_python_dev_mode_shows_no_warning_about_devpatch(flask_project):
    server, write = flask_project(python=("-X", "dev"))
    for version in (1, 2):
        time.sleep(1.1)
        write(head="1 / 0")
        wait_until_broken(server, "ZeroDivisionError")
        write(version=version)
        wait_for_version(server, version)
        time.sleep(1.1)
        write(version=version + 10)
        wait_for_version(server, version + 10)
    stop_with_ctrl_c(server)
    warnings = [line for line in server.stderr.splitlines() if "ResourceWarning" in line]
    # Werkzeug keeps its own socket open for the next worker.
    assert not [line for line in warnings if "devpatch" in line or "family=1" in line or "Stream" in line]


@pytest.mark.long
@pytest.mark.skipif("app.run-debug" not in BY_ID, reason="no Flask")
@pytest.mark.parametrize(
    "lines",
    [
        "app.run(host='127.0.0.1', port=int(os.environ.get('PORT', {port})), debug=True)",
        "options = dict(debug=True, port={port})\napp.run(**options)",
        "app.config['DEBUG'] = True\napp.run(port={port})",
        "app.secret_key = 'a#b'; app.run(port={port}, debug=True)",
        "app.run(\n    port={port},  # it's the usual one\n    debug=True,\n)",
    ],
)
def test_the_first_start_of_a_script(tmp_path, lines):
    port = free_port()
    head = "from flask import Flask\nimport os\napp = Flask(__name__)\n"
    whole = f"{head}app.add_url_rule('/ok/', view_func=lambda: 'ok')\n{lines.format(port=port)}\n"
    script = tmp_path / "project" / "serve.py"
    script.parent.mkdir()
    script.write_text(f"import os; os.chdir({str(tmp_path.anchor)!r})\nimport not_there\n{whole}")
    command = [sys.executable, os.path.join("project", "serve.py")]
    server = DevServer(command, tmp_path, tmp_path, port, clean_environment(**ON)).start()
    try:
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        save(script, whole)
        server.wait_until_ready()
    finally:
        server.kill()


@pytest.mark.long
@pytest.mark.skipif("app.run-debug" not in BY_ID, reason="no Flask")
@pytest.mark.parametrize("command", [["run.py"], ["-m", "web"]])
def test_the_first_start_with_an_application_factory(tmp_path, command):
    """The script that starts the server does not name Flask. The module that it imports does."""
    port = free_port()
    (tmp_path / "shop.py").write_text("import flask\nbroken\n")
    (tmp_path / "web").mkdir()
    text = f"from shop import create_app\napp = create_app()\napp.run(debug=True, port={port})\n"
    for name in ("run.py", "web/__init__.py", "web/__main__.py"):
        (tmp_path / name).write_text("" if "init" in name else text)
    server = DevServer([sys.executable, *command], tmp_path, tmp_path, port, clean_environment(**ON)).start()
    try:
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        save(
            tmp_path / "shop.py",
            "import flask\n"
            "def create_app():\n"
            "    app = flask.Flask('shop')\n"
            "    app.add_url_rule('/ok/', view_func=lambda: 'ok')\n"
            "    return app\n",
        )
        server.wait_until_ready()
    finally:
        server.kill()
