"""A fail-safe session: what ends it, which changes start a worker, and how it works with other switches."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace

import harness
import pytest
from breakages import SYNTAX_ERROR, repaired, save
from harness import DevServer, clean_environment, free_port, python, wait_for
from servers import BY_ID, EACH_RELOADER, RELOADING_MODES
from test_failsafe import ON, is_waiting, stop_with_ctrl_c, wait_for_version, wait_until_broken


def break_source(server, source):
    whole = source.read_text()
    save(source, whole + SYNTAX_ERROR)
    wait_until_broken(server, "SyntaxError")
    return whole


@RELOADING_MODES
class TestEnd:
    @pytest.mark.slow
    @pytest.mark.long
    @EACH_RELOADER
    def test_signals_end_it_with_the_servers_exit_status(self, serve_copy, mode):
        """The status is the same as without the switch, while it serves and while it waits."""
        statuses = {}
        for name in (signal.SIGINT, signal.SIGTERM):
            server, _source = serve_copy(mode)
            os.kill(server.process.pid, name)
            statuses[name] = server.exit_status()
            server.kill()
        for name, status in statuses.items():
            for broken in (False, True):
                server, source = serve_copy(mode, **ON)
                whole = break_source(server, source) if broken else None
                started = time.monotonic()
                os.kill(server.process.pid, name)
                assert server.exit_status() == status, (name, broken, server.stderr)
                took = time.monotonic() - started
                server.assert_nothing_left()
                with pytest.raises(ConnectionRefusedError):
                    server.connect()
                assert took < 5, f"{took:.1f} s, of 1 allowed"
                if whole is not None:
                    source.write_text(whole)

    @pytest.mark.long
    def test_a_port_in_use_ends_it_as_without_the_switch(self, serve, mode):
        if mode.server == "daphne":
            pytest.skip("its reloader goes on, see test_daphne.py")
        results = []
        for variables in ({}, ON):
            server = serve(mode, wait=False, **variables)
            server.kill()
            with socket.socket() as other:
                other.bind(("127.0.0.1", server.port))
                other.listen()
                server.start()
                status = server.exit_status()
                lines = [line for line in server.stderr.splitlines() if not line.startswith("devpatch:")]
                results.append((status, lines[-1].replace(str(server.port), "PORT")))
            server.assert_nothing_left()
        assert results[0] == results[1]
        assert results[0][0] != 0

    @pytest.mark.long
    @EACH_RELOADER
    def test_a_fail_fast_exit_ends_it_and_a_failed_load_does_not(self, serve_copy, mode):
        server, source = serve_copy(mode, DEVPATCH_FAILFAST="1", DEVPATCH_FAILFAST_EXIT_CODE="42", **ON)
        whole = break_source(server, source)
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        assert server.get("/view/").status == 500
        assert server.exit_status() == 42, server.stderr
        server.assert_nothing_left()


@pytest.mark.long
@EACH_RELOADER
class TestWorkers:
    def test_a_worker_that_dies_while_it_serves_is_held(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        worker = int(server.get("/pid/").body)
        os.kill(worker, signal.SIGKILL)
        wait_until_broken(server, "ended by SIGKILL")
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)

    def test_a_change_ends_a_worker_that_hangs_while_it_loads(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        mark = server.directory / "hangs"
        save(source, f"open({str(mark)!r}, 'x'); import time; time.sleep(600)\n{whole}")
        wait_for(mark.exists, "a worker that hangs")
        time.sleep(1)
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        assert f"{source.name} changed while the code was loading, starting again" in server.stderr
        stop_with_ctrl_c(server)

    @pytest.mark.slow
    def test_each_start_needs_a_change(self, serve_copy, mode):
        """A worker that fails is started once for each change, even if it writes files into the project."""
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        line = "[open(f'noise.{end}', 'a').write('x') for end in ('log', 'txt')]\n"
        save(source, f"{line}raise ValueError('dies at once')\n{whole}")
        wait_until_broken(server, "dies at once")
        time.sleep(3)
        starts = server.stderr.count("starting again")
        assert starts <= 2, server.stderr
        (server.directory / "settings.env").write_text("x")
        wait_for(
            lambda: server.stderr.count("starting again") > starts and is_waiting(server), "another start"
        )
        time.sleep(3)
        assert server.stderr.count("starting again") == starts + 1
        stop_with_ctrl_c(server)

    @pytest.mark.slow
    def test_quick_edits(self, serve_copy, mode):
        """A file is broken again as soon as the new worker serves."""
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        for version in range(1, 4):
            save(source, whole + SYNTAX_ERROR)
            wait_until_broken(server, "SyntaxError")
            save(source, repaired(whole, version))
            wait_for_version(server, version)
        stop_with_ctrl_c(server)

    def test_a_file_is_deleted_or_renamed_and_restored(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        gauge = next(server.directory.glob("**/gauge.py"))
        whole = break_source(server, source)
        gauge.rename(gauge.with_suffix(".away"))
        save(source, repaired(whole, 1))
        wait_until_broken(server, "gauge")
        gauge.with_suffix(".away").rename(gauge)
        wait_for_version(server, 1)
        source.unlink()
        if mode.site == "django":  # Reloaders do not see that a file is deleted. The next reload finds out.
            save(gauge, gauge.read_text() + "\n# changed\n")
        else:
            os.kill(int(server.get("/pid/").body), signal.SIGKILL)
        wait_until_broken(server)
        save(source, repaired(whole, 2))
        wait_for_version(server, 2)
        stop_with_ctrl_c(server)

    def test_an_installed_package_is_a_change(self, serve_copy, mode, tmp_path):
        libraries = tmp_path / "libraries"
        libraries.mkdir()
        server, source = serve_copy(mode, PYTHONPATH=str(libraries), **ON)
        whole = source.read_text()
        save(source, "import late_package\n" + repaired(whole, 1))
        wait_until_broken(server, "No module named 'late_package'")
        (libraries / "late_package").mkdir()
        (libraries / "late_package" / "__init__.py").write_text("")
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)

    def test_threads_that_keep_a_broken_worker_alive_do_not_block_the_session(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        threads = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()\n"
        save(source, f"{threads}raise ValueError('held')\n{whole}")
        wait_until_broken(server, "ValueError: held")
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)


class TestWithoutReloader:
    @pytest.mark.modes(choose=lambda mode: "reload" not in mode.marks)
    def test_it_does_nothing_and_announces_that(self, serve, mode):
        server = serve(mode, DEVPATCH_FAILSAFE="1")
        lines = [line for line in server.stderr.splitlines() if "devpatch" in line]
        other = "use a server that has a reloader, such as runserver"
        how = {
            "daphne": "leave out --noreload",
            "runserver": "leave out --noreload",
            "runserver_plus": "leave out --noreload",
            "flask run": "add --debug",
            "app.run": "pass debug=True to app.run()",
            "run_simple": "pass use_reloader=True to run_simple()",
        }
        what = "fail-safe and fast reload have" if harness.fast_reload else "fail-safe has"
        assert lines == [
            f"devpatch: {what} no effect on {mode.server}: it runs without a reloader; {how.get(mode.server, other)}"
        ]

    def test_the_status_command_says_so(self):
        status = python("-m", "devpatch", DEVPATCH_FAILSAFE="1").stdout
        assert re.search(r"no fail-safe on (.*, )?wsgiref: it has no reloader", status)
        assert "fail-safe needs the reloader: leave out --noreload, and turn debug on" in status


@pytest.mark.skipif("runserver-reload" not in BY_ID, reason="no Django")
class TestDjango:
    @pytest.mark.long
    def test_djangos_signals_are_sent(self, serve_copy, tmp_path):
        server, source = serve_copy(BY_ID["runserver-reload"], **ON)
        receivers = (
            "from django.utils.autoreload import autoreload_started, file_changed\n"
            "def started(sender, **_): sender.watch_dir('.', '*.notes')\n"
            "autoreload_started.connect(started)\n"
        )
        whole = source.read_text()
        save(source, receivers + repaired(whole, 1))
        wait_for_version(server, 1)
        time.sleep(1.5)
        (server.directory / "my.notes").write_text("1")
        time.sleep(2.5)
        (server.directory / "my.notes").write_text("2")
        wait_for(lambda: "my.notes changed, reloading" in server.stderr, lambda: server.stderr)
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)

    @pytest.mark.long
    def test_a_worker_may_change_the_address(self, serve_copy):
        server, _source = serve_copy(BY_ID["runserver-reload"], **ON)
        manage = server.directory / "manage.py"
        port = server.port
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server.port = probe.getsockname()[1]
        save(
            manage, f"import sys; sys.argv[2] = '127.0.0.1:{server.port}'\n" + repaired(manage.read_text(), 1)
        )
        wait_for(lambda: is_listening(server.port), lambda: server.stderr)
        wait_for_version(server, 1)
        assert not is_listening(port)
        stop_with_ctrl_c(server)


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif("run_simple-reload" not in BY_ID, reason="no Werkzeug")
class TestWerkzeug:
    @pytest.mark.long
    def test_extra_files_and_patterns(self, serve_copy, tmp_path):
        """extra_files start a worker, also while the session waits. Files in exclude_patterns do not."""
        extra = tmp_path / "elsewhere.ini"
        extra.write_text("1")
        options = f"extra_files=[{str(extra)!r}], exclude_patterns=['*/left_out*']"
        server, source = serve_copy(BY_ID["run_simple-reload"], **ON, SITE_RUN_OPTIONS=f"dict({options})")
        time.sleep(1.5)
        extra.write_text("2")
        wait_for(lambda: f"Detected change in '{extra}'" in server.stderr, lambda: server.stderr)
        whole = break_source(server, source)
        before = len(server.stderr)
        (server.directory / "left_out.txt").write_text("x")
        time.sleep(1.5)
        assert "changed" not in server.stderr[before:]
        extra.write_text("3")
        wait_for(lambda: "elsewhere.ini changed" in server.stderr, lambda: server.stderr)
        wait_for(lambda: is_waiting(server), "the next line that it waits for a change")
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)

    @pytest.mark.long
    def test_it_answers_over_tls_while_broken(self, serve_copy):
        pytest.importorskip("cryptography")
        mode = BY_ID["run_simple-reload"]
        check_over_tls(*serve_copy(mode, wait=False, **ON, SITE_RUN_OPTIONS="dict(ssl_context='adhoc')"))

    @pytest.mark.long
    @pytest.mark.skipif("runserver_plus-reload" not in BY_ID, reason="no django-extensions")
    def test_a_certificate_file_of_runserver_plus(self, serve_copy, tmp_path):
        pytest.importorskip("OpenSSL")  # django-extensions needs it to create the files.
        mode = BY_ID["runserver_plus-reload"]
        arguments = (*mode.arguments, "--cert-file", str(tmp_path / "site.crt"))
        check_over_tls(*serve_copy(replace(mode, arguments=arguments), wait=False, **ON))


def check_over_tls(server, source):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain_connect = server.connect
    server.connect = lambda: context.wrap_socket(plain_connect())
    server.wait_until_ready()
    whole = break_source(server, source)
    save(source, repaired(whole, 1))
    wait_for_version(server, 1)
    stop_with_ctrl_c(server)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="process namespaces exist only on Linux")
def test_as_process_1_it_reaps_its_children(tmp_path):
    unshare = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no permission to create a process namespace")
    pytest.importorskip("flask")
    app = tmp_path / "app.py"
    app.write_text(
        "import os, subprocess, sys, flask\n"
        "app = flask.Flask(__name__)\n"
        "@app.get('/ok/')\n"
        "def orphan():\n"
        "    subprocess.run(['sh', '-c', 'sleep 0.1 &'])\n"
        "    return subprocess.run(['ps', '-eo', 'stat='], capture_output=True).stdout\n"
        "if __name__ == '__main__': app.run(debug=True, port=int(sys.argv[1]))\n"
    )
    port = free_port()
    command = [*unshare, sys.executable, str(app), str(port)]
    server = DevServer(command, tmp_path, tmp_path, port, clean_environment(DEVPATCH_FAILSAFE="1"))
    server.start()
    try:
        server.wait_until_ready()
        for _ in range(5):
            server.get("/ok/")
        wait_for(lambda: b"Z" not in server.get("/ok/").body, "no zombies")
        whole = app.read_text()
        save(app, whole + SYNTAX_ERROR)
        wait_until_broken(server, "SyntaxError")
        save(app, whole)
        wait_for(lambda: server.get("/ok/").status == 200, "the repaired application")
        wait_for(lambda: b"Z" not in server.get("/ok/").body, "no zombies")
    finally:
        server.kill()
