"""A fail-safe session beside its breakages: what ends it, what it waits for, and what else is switched on."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from breakages import mended, save
from harness import DevServer, clean_environment, free_port, python, read_to_end, wait_for
from servers import BY_ID, EACH_RELOADER, RELOADS
from test_failsafe import ON, end_with_ctrl_c, until_broken, until_version, waits

SYNTAX = "\ndef (\n"


def break_it(server, source):
    whole = source.read_text()
    save(source, whole + SYNTAX)
    until_broken(server, "SyntaxError")
    return whole


@RELOADS
class TestNotHeld:
    @pytest.mark.slow
    @pytest.mark.long
    @EACH_RELOADER
    def test_signals_end_it_with_the_servers_status(self, serve_copy, mode):
        """Serving or waiting, with Ctrl-C or SIGTERM to the process that was started: as without the switch."""
        statuses = {}
        for name in (signal.SIGINT, signal.SIGTERM):
            server, _source = serve_copy(mode)
            os.kill(server.process.pid, name)
            statuses[name] = server.exit_status()
            server.kill()
        for name, status in statuses.items():
            for broken in (False, True):
                server, source = serve_copy(mode, **ON)
                whole = break_it(server, source) if broken else None
                began = time.monotonic()
                os.kill(server.process.pid, name)
                assert server.exit_status() == status, (name, broken, server.stderr)
                took = time.monotonic() - began
                server.assert_nothing_left()
                with pytest.raises(ConnectionRefusedError):
                    server.connect()
                assert took < 5, f"{took:.1f} s, of 1 allowed"
                if whole is not None:
                    source.write_text(whole)

    @pytest.mark.long
    def test_a_port_in_use_ends_it_as_without_the_switch(self, serve, mode):
        ends = []
        for variables in ({}, ON):
            server = serve(mode, wait=False, **variables)
            server.kill()
            with socket.socket() as other:
                other.bind(("127.0.0.1", server.port))
                other.listen()
                server.start()
                status = server.exit_status()
                lines = [line for line in server.stderr.splitlines() if not line.startswith("devpatch:")]
                ends.append((status, lines[-1].replace(str(server.port), "PORT")))
            server.assert_nothing_left()
        assert ends[0] == ends[1]
        assert ends[0][0] != 0

    @pytest.mark.long
    @EACH_RELOADER
    def test_a_failfast_exit_ends_it_and_a_failed_load_does_not(self, serve_copy, mode):
        server, source = serve_copy(mode, DEVPATCH_FAILFAST="1", DEVPATCH_FAILFAST_EXIT_CODE="42", **ON)
        whole = break_it(server, source)
        save(source, mended(whole, 1))
        until_version(server, 1)
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
        until_broken(server, "ended by SIGKILL")
        save(source, mended(whole, 1))
        until_version(server, 1)
        end_with_ctrl_c(server)

    def test_a_worker_that_hangs_in_loading_is_ended_by_a_change(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        mark = server.directory / "hangs"
        save(source, f"open({str(mark)!r}, 'x'); import time; time.sleep(600)\n{whole}")
        wait_for(mark.exists, "a worker that hangs")
        time.sleep(1)
        save(source, mended(whole, 1))
        until_version(server, 1)
        assert f"{source.name} changed, starting again" in server.stderr
        end_with_ctrl_c(server)

    @pytest.mark.slow
    def test_each_start_needs_a_change(self, serve_copy, mode):
        """A worker that dies at once is not started again and again, also where it writes into the project."""
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        line = "[open(f'noise.{end}', 'a').write('x') for end in ('log', 'txt')]\n"
        save(source, f"{line}raise ValueError('dies at once')\n{whole}")
        until_broken(server, "dies at once")
        time.sleep(3)
        starts = server.stderr.count("starting again")
        assert starts <= 2, server.stderr
        (server.directory / "settings.env").write_text("x")
        wait_for(lambda: server.stderr.count("starting again") > starts and waits(server), "another start")
        time.sleep(3)
        assert server.stderr.count("starting again") == starts + 1
        end_with_ctrl_c(server)

    @pytest.mark.slow
    def test_the_same_edits_again_and_again(self, serve_copy, mode):
        """As quick as they come: a file is broken at the moment when a worker has begun to serve."""
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        for version in range(1, 4):
            save(source, whole + SYNTAX)
            until_broken(server, "SyntaxError")
            save(source, mended(whole, version))
            until_version(server, version)
        end_with_ctrl_c(server)

    def test_a_file_that_is_deleted_or_renamed_comes_back(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        gauge = next(server.directory.glob("**/gauge.py"))
        whole = break_it(server, source)
        gauge.rename(gauge.with_suffix(".away"))
        save(source, mended(whole, 1))
        until_broken(server, "gauge")
        gauge.with_suffix(".away").rename(gauge)
        until_version(server, 1)
        source.unlink()
        if mode.site == "django":  # The reloaders do not see that a file has gone; the next reload does.
            save(gauge, gauge.read_text() + "\n# changed\n")
        else:
            os.kill(int(server.get("/pid/").body), signal.SIGKILL)
        until_broken(server)
        save(source, mended(whole, 2))
        until_version(server, 2)
        end_with_ctrl_c(server)

    def test_a_package_that_gets_installed_is_a_change(self, serve_copy, mode, tmp_path):
        libraries = tmp_path / "libraries"
        libraries.mkdir()
        server, source = serve_copy(mode, PYTHONPATH=str(libraries), **ON)
        whole = source.read_text()
        save(source, "import late_package\n" + mended(whole, 1))
        until_broken(server, "No module named 'late_package'")
        (libraries / "late_package").mkdir()
        (libraries / "late_package" / "__init__.py").write_text("")
        until_version(server, 1)
        end_with_ctrl_c(server)

    def test_threads_that_hold_a_broken_worker_do_not_hold_the_session(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        holding = "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()\n"
        save(source, f"{holding}raise ValueError('held')\n{whole}")
        until_broken(server, "ValueError: held")
        save(source, mended(whole, 1))
        until_version(server, 1)
        end_with_ctrl_c(server)


@pytest.mark.long
@RELOADS
class TestConnections:
    RELOADS = 20

    @pytest.mark.slow
    def test_none_is_refused_over_reloads(self, serve_copy, mode):
        """
        1. A new client each 20 ms, for as long as it takes to reload 20 times, healthy and broken in turn.
        2. Each gets a whole answer within 30 s.
        """
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        answers, stop = [], threading.Event()

        def ask():
            try:
                response = server.get("/version/")
                complete = response.status in (200, 500) and response.seconds < 30
                answers.append("ok" if complete else repr(response))
            except OSError as error:
                answers.append(repr(error))

        def poll():
            while not stop.wait(0.02):
                threading.Thread(target=ask).start()

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            for reload in range(1, self.RELOADS + 1):
                if reload % 4 == 0:
                    save(source, whole + SYNTAX)
                    until_broken(server, "SyntaxError")
                save(source, mended(whole, reload))
                until_version(server, reload)
        finally:
            stop.set()
            poller.join()
        wait_for(lambda: not any("ask" in t.name for t in threading.enumerate()), "the last answers")
        failed = [answer for answer in answers if answer != "ok"]
        assert not failed, f"{len(failed)} of {len(answers)}: {failed[:5]}"
        assert len(answers) > 200
        end_with_ctrl_c(server)

    @EACH_RELOADER
    def test_a_request_that_is_being_answered_gets_to_its_end(self, serve_copy, mode):
        server, source = serve_copy(mode, **ON)
        whole = source.read_text()
        cut = []

        def ask():
            response = server.get("/slow/?seconds=1.5")
            if b"slow" not in response.body:
                cut.append(response)

        save(source, mended(whole, 1))
        askers = [threading.Thread(target=ask) for _ in range(3)]
        for asker in askers:
            asker.start()
        until_version(server, 1)
        for asker in askers:
            asker.join()
        assert not cut, f"{cut}\n{server.stderr}"
        end_with_ctrl_c(server)

    @pytest.mark.modes(choose=lambda mode: mode.id == "flask-run-debug")
    def test_also_where_a_connection_before_it_had_its_descriptor(self, serve_copy, mode):
        """
        1. A server takes a second to let a connection go after it was closed, and accepts the next meanwhile.
        2. A reload begins after that second: the next one's answer arrives whole.
        """
        server, source = serve_copy(mode, wait=False, **ON)
        server.kill()
        source.write_text(LETS_GO_LATE + source.read_text())
        server.start()
        server.until_ready()
        assert server.get("/ok/").status == 200
        with server.send("/slow/?seconds=3", headers=["Connection: close"]) as connection:
            time.sleep(1.3)
            save(source, mended(source.read_text(), 1))
            assert b"slow" in read_to_end(connection).body, server.stderr
        until_version(server, 1)
        end_with_ctrl_c(server)


LETS_GO_LATE = """
import time
from werkzeug.serving import BaseWSGIServer
def shutdown_request(server, request, close=BaseWSGIServer.shutdown_request):
    close(server, request)
    time.sleep(1)
BaseWSGIServer.shutdown_request = shutdown_request
"""


class TestWithoutReloader:
    @pytest.mark.modes(choose=lambda mode: "reload" not in mode.marks)
    def test_it_does_nothing_and_says_so(self, serve, mode):
        server = serve(mode, DEVPATCH_FAILSAFE="1")
        lines = [line for line in server.stderr.splitlines() if "devpatch" in line]
        assert lines == [f"devpatch: fail-safe has no effect on {mode.server}: it runs without a reloader"]

    def test_the_status_says_so(self):
        status = python("-m", "devpatch", DEVPATCH_FAILSAFE="1").stdout
        part = status.partition("fail-safe (DEVPATCH_FAILSAFE)")[2]
        assert "wsgiref         not available: it has no reloader" in part
        assert "It has no effect where the reloader is off" in part


@pytest.mark.skipif("runserver-reload" not in BY_ID, reason="no Django")
class TestDjango:
    @pytest.mark.long
    def test_the_reloaders_signals_are_sent(self, serve_copy, tmp_path):
        server, source = serve_copy(BY_ID["runserver-reload"], **ON)
        receivers = (
            "from django.utils.autoreload import autoreload_started, file_changed\n"
            "def started(sender, **_): sender.watch_dir('.', '*.notes')\n"
            "autoreload_started.connect(started)\n"
        )
        whole = source.read_text()
        save(source, receivers + mended(whole, 1))
        until_version(server, 1)
        time.sleep(1.5)
        (server.directory / "my.notes").write_text("1")
        time.sleep(2.5)
        (server.directory / "my.notes").write_text("2")
        wait_for(lambda: "my.notes changed, reloading" in server.stderr, lambda: server.stderr)
        until_version(server, 1)
        end_with_ctrl_c(server)

    @pytest.mark.long
    def test_a_changed_address_is_followed(self, serve_copy):
        server, _source = serve_copy(BY_ID["runserver-reload"], **ON)
        manage = server.directory / "manage.py"
        port = server.port
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server.port = probe.getsockname()[1]
        save(manage, f"import sys; sys.argv[2] = '127.0.0.1:{server.port}'\n" + mended(manage.read_text(), 1))
        wait_for(lambda: _listens(server.port), lambda: server.stderr)
        until_version(server, 1)
        assert not _listens(port)
        end_with_ctrl_c(server)


def _listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.skipif("run_simple-reload" not in BY_ID, reason="no Werkzeug")
class TestWerkzeug:
    @pytest.mark.long
    def test_extra_files_and_patterns(self, serve_copy, tmp_path):
        """extra_files start a worker too, in either state; what exclude_patterns name does not."""
        extra = tmp_path / "elsewhere.ini"
        extra.write_text("1")
        options = f"extra_files=[{str(extra)!r}], exclude_patterns=['*/left_out*']"
        server, source = serve_copy(BY_ID["run_simple-reload"], **ON, SITE_RUN_OPTIONS=f"dict({options})")
        time.sleep(1.5)
        extra.write_text("2")
        wait_for(lambda: f"Detected change in '{extra}'" in server.stderr, lambda: server.stderr)
        whole = break_it(server, source)
        said = len(server.stderr)
        (server.directory / "left_out.txt").write_text("x")
        time.sleep(1.5)
        assert "changed" not in server.stderr[said:]
        extra.write_text("3")
        wait_for(lambda: "elsewhere.ini changed" in server.stderr, lambda: server.stderr)
        wait_for(lambda: waits(server), "the next wait")
        save(source, mended(whole, 1))
        until_version(server, 1)
        end_with_ctrl_c(server)

    @pytest.mark.long
    def test_it_answers_over_tls_while_broken(self, serve_copy):
        pytest.importorskip("cryptography")
        mode = BY_ID["run_simple-reload"]
        over_tls(*serve_copy(mode, wait=False, **ON, SITE_RUN_OPTIONS="dict(ssl_context='adhoc')"))

    @pytest.mark.long
    @pytest.mark.skipif("runserver_plus-reload" not in BY_ID, reason="no django-extensions")
    def test_a_certificate_file_of_runserver_plus(self, serve_copy, tmp_path):
        pytest.importorskip("OpenSSL")  # django-extensions wants it, and makes the files with it.
        mode = BY_ID["runserver_plus-reload"]
        arguments = (*mode.arguments, "--cert-file", str(tmp_path / "site.crt"))
        over_tls(*serve_copy(replace(mode, arguments=arguments), wait=False, **ON))


def over_tls(server, source):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain_connect = server.connect
    server.connect = lambda: context.wrap_socket(plain_connect())
    server.until_ready()
    whole = break_it(server, source)
    save(source, mended(whole, 1))
    until_version(server, 1)
    end_with_ctrl_c(server)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="process 1 of a container, as Linux has it")
def test_as_process_1_it_reaps_its_children(tmp_path):
    unshare = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no right to make a process namespace")
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
        server.until_ready()
        for _ in range(5):
            server.get("/ok/")
        wait_for(lambda: b"Z" not in server.get("/ok/").body, "no zombies")
        whole = app.read_text()
        save(app, whole + SYNTAX)
        until_broken(server, "SyntaxError")
        save(app, whole)
        wait_for(lambda: server.get("/ok/").status == 200, "the mended application")
        wait_for(lambda: b"Z" not in server.get("/ok/").body, "no zombies")
    finally:
        server.kill()
