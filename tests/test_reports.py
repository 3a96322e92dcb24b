"""DEVPATCH_ON_ERROR and DEVPATCH_ERROR_LOG, for every server: each error is reported once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from breakages import repaired, save
from harness import APPS, TIMEOUT, clean_environment, free_port, receive, wait_for
from reporting import Reports, assert_refused, valid
from servers import BY_ID, EACH_RELOADER, ONE_PER_SERVER
from test_failfast_contract import KINDS, NOT_ERRORS
from test_failsafe import is_waiting, stop_with_ctrl_c, wait_for_version, wait_until_broken


def _ask(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ok/") as response:
            return response.status
    except OSError:
        return None


FRAMEWORKS = {"django": "django", "flask": "flask", "bare": None}


def reported_kinds(mode, config):
    kinds = [kind for kind in KINDS if mode.site in kind.sites and not kind.environ and kind.status == 1]
    kinds = [kind for kind in kinds if not kind.message.startswith("sys.exit")]
    if mode.server == "daphne":  # It never ends a stream that has failed.
        kinds = [kind for kind in kinds if not kind.path.startswith("/stream")]
    if config.getoption("--short"):
        kinds = [kind for kind in kinds if kind.id in ("view", "async", "stream")]
    return kinds


class TestRequests:
    def test_each_error_is_reported_once(self, serve, mode, tmp_path, pytestconfig):
        """
        1. Request several pages that fail, one at a time.
        2. Each error is one line in the log and one event for each receiver, in their order.
        3. Other pages cause no line and no event.
        """
        reports = Reports(tmp_path)
        server = serve(mode, **reports.variables)
        for number, kind in enumerate(reported_kinds(mode, pytestconfig), start=1):
            answer = server.get(f"{kind.path}?name=secret&other")
            lines, events = reports.wait(number, 2 * number)
            line, (one, two) = lines[-1], events[-2:]
            exception = line["exception"]
            text = f"{exception['type']}: {exception['message']}"
            assert text.startswith(kind.message.strip()), kind.id
            assert line["kind"] == one["kind"] == "request"
            assert line["server"] == one["server"] == mode.server
            if kind.id != "bare":
                assert line["framework"] == one["framework"] == FRAMEWORKS[mode.site]
            assert line["method"] == one["method"] == "GET"
            url = f"http://127.0.0.1:{server.port}{kind.path}"
            assert line["url"] == f"{url}?name=***&other"
            assert one["url"] == f"{url}?name=secret&other"
            assert line["status"] == (answer.status or None), kind.id
            assert (one["receiver"], two["receiver"]) == ("first", "second")
            assert one["exception"].startswith(kind.message.strip())
            assert one["has_traceback"]
            assert one["path"] == kind.path
            own = [frame for frame in exception["frames"] if frame["own"]]
            assert own, kind.id
            assert Path(own[-1]["file"]).is_relative_to(APPS), own
            assert not any(
                "devpatch" in frame["file"].replace(str(APPS), "") for frame in exception["frames"]
            )
            if not kind.message.startswith("BrokenPipe"):
                assert "raise" in own[-1]["source"]
        reported = len(reports.lines())
        for name in NOT_ERRORS[mode.site].split():
            if name != "test-client" or mode.server != "runserver_plus":
                server.get(f"/{name}/")
        server.get("/view/")
        reports.wait(reported + 1, 2 * reported + 2)
        messages = [line for line in server.stderr.splitlines() if line.startswith("devpatch: ")]
        assert len(messages) == 1, messages
        server.kill()

    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: mode.id in ONE_PER_SERVER)
    def test_both_are_complete_before_a_fail_fast_exit(self, serve, mode, tmp_path):
        reports = Reports(tmp_path, "receivers:slow")
        server = serve(mode, DEVPATCH_FAILFAST="1", **reports.variables)
        server.get("/view/")
        assert server.exit_status() == 1
        reports.wait(1, 1)
        assert server.stderr.rstrip().endswith("the server stops with exit status 1")

    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: mode.id in ONE_PER_SERVER)
    def test_a_receiver_that_hangs_does_not_block_the_exit(self, serve, mode, tmp_path):
        reports = Reports(tmp_path, "receivers:hanging")
        server = serve(mode, DEVPATCH_FAILFAST="1", **reports.variables)
        server.get("/view/")
        started = time.monotonic()
        assert server.exit_status() == 1
        took = time.monotonic() - started
        server.assert_nothing_left()
        assert 3 < took < 15, f"{took:.1f} s, of 5 and 2 allowed"
        assert "on-error: receivers:hanging took longer than 5 s" in server.stderr
        reports.wait(1, 1)

    def test_a_coroutine_function_is_awaited(self, serve, tmp_path):
        reports = Reports(tmp_path, "receivers:later,receivers:first")
        server = serve(BY_ID["wsgiref-serve_forever"], **reports.variables)
        server.get("/view/")
        reports.wait(1, 2)
        assert [event["receiver"] for event in reports.events()] == ["later", "first"]
        assert "never awaited" not in server.stderr

    @pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout here")
    def test_the_log_may_be_a_pipe(self, serve, tmp_path):
        """In a container stdout may be a pipe. A pipe that no process reads is refused."""
        mode = BY_ID["wsgiref-serve_forever"]
        port = free_port()
        environ = clean_environment(DEVPATCH_ERROR_LOG="/dev/stdout")
        with subprocess.Popen(
            mode.command(port), cwd=APPS, env=environ, stdout=subprocess.PIPE, text=True
        ) as process:
            wait_for(lambda: _ask(port) == 200, "an answer")
            urllib.request.urlopen(f"http://127.0.0.1:{port}/stream/").close()
            line = valid(process.stdout.readline())
            process.kill()
        assert line["exception"]["message"] == "boom in a stream"
        os.mkfifo(tmp_path / "pipe")
        server = serve(mode, wait=False, DEVPATCH_ERROR_LOG=str(tmp_path / "pipe"))
        assert_refused(server, "can't be written (No such device or address)")

    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: mode.id in ONE_PER_SERVER)
    def test_what_a_receiver_raises_is_printed_once(self, serve, mode, tmp_path):
        names = "receivers:leaving,receivers:raising,receivers:Receiver.method"
        reports = Reports(tmp_path, names)
        server = serve(mode, **reports.variables)
        for number in range(1, 4):
            server.get("/view/")
            reports.wait(number, 2 * number)
        assert [event["receiver"] for event in reports.events()] == ["raising", "method"] * 3
        assert server.stderr.count("RuntimeError: the receiver's own") == 1
        assert server.stderr.count("receivers:raising raised the exception above; the server goes on") == 1
        assert server.stderr.count("receivers:leaving raised the exception above") == 1
        assert server.get("/ok/").status == 200

    def test_1000_concurrent_errors_are_1000_lines(self, serve, tmp_path):
        """Two servers share the log, and each has 20 clients. A third of the messages is very long."""
        mode = BY_ID["wsgiref-threads"]
        reports = Reports(tmp_path)
        del reports.variables["DEVPATCH_ON_ERROR"]
        servers = [serve(mode, **reports.variables) for _ in range(2)]

        def ask(server):
            for number in range(25):
                server.get("/huge/" if number % 3 == 0 else "/view/")

        clients = [threading.Thread(target=ask, args=(server,)) for server in servers for _ in range(20)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        lines = reports.lines()
        assert len(lines) == 1000
        assert {line["process"] for line in lines} == {server.process.pid for server in servers}

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
    def test_a_full_disk_is_reported_once(self, serve, tmp_path):
        server = serve(BY_ID["wsgiref-serve_forever"], DEVPATCH_ERROR_LOG="/dev/full")
        for _ in range(3):
            assert server.get("/view/").status == 500
        assert server.stderr.count("/dev/full can't be written (No space left on device)") == 1

    def test_a_path_is_relative_to_the_folder_in_which_the_command_was_started(
        self, serve, tmp_path, serve_copy
    ):
        server, source = serve_copy(BY_ID["wsgiref-serve_forever"], wait=False)
        server.kill()
        save(source, f"import os; os.chdir({str(tmp_path)!r})\n{source.read_text()}")
        server.environ["DEVPATCH_ERROR_LOG"] = "errors.jsonl"
        server.start()
        server.wait_until_ready()
        server.get("/view/")
        assert (server.directory / "errors.jsonl").read_text().count("\n") == 1

    def test_the_log_has_no_private_data(self, serve, tmp_path):
        reports = Reports(tmp_path)
        mode = BY_ID.get("runserver-noreload") or BY_ID["wsgiref-serve_forever"]
        server = serve(mode, **reports.variables)
        headers = ("Cookie: session=s3cr3t", "Authorization: Bearer s3cr3t", "X-Own: s3cr3t")
        server.get("/view/?token=s3cr3t&page=s3cr3t#s3cr3t", method="POST", body=b"s3cr3t", headers=headers)
        reports.wait(1, 2)
        assert "s3cr3t" not in reports.log.read_text()


class TestRefusals:
    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: mode.id in ONE_PER_SERVER or "reload" in mode.marks)
    def test_a_callable_that_does_not_exist(self, serve, mode):
        server = serve(mode, wait=False, DEVPATCH_ON_ERROR="not_there.hooks:report")
        assert_refused(server, "DEVPATCH_ON_ERROR='not_there.hooks:report'", "No module named 'not_there'")

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("receivers.first", "did you mean receivers:first?"),
            ("first", "package.module:callable"),
            ("receivers:", "package.module:callable"),
            ("receivers:first;receivers:second", "package.module:callable"),
            ("receivers:missing", "has no attribute 'missing'"),
            ("receivers:no_callable", "can't be called"),
        ],
    )
    def test_other_values(self, serve, value, message):
        mode = BY_ID["wsgiref-serve_forever"]
        server = serve(mode, wait=False, DEVPATCH_ON_ERROR=value, PYTHONPATH=str(Path(__file__).parent))
        assert_refused(server, f"DEVPATCH_ON_ERROR={value!r}", message)

    @pytest.mark.long
    @pytest.mark.modes(choose=lambda mode: mode.id in ONE_PER_SERVER or "reload" in mode.marks)
    def test_a_log_that_can_not_be_written(self, serve, mode, tmp_path):
        path = str(tmp_path / "missing" / "errors.jsonl")
        server = serve(mode, wait=False, DEVPATCH_ERROR_LOG=path, DEVPATCH_FAILSAFE="1")
        assert_refused(server, f"DEVPATCH_ERROR_LOG={path!r} can't be written (No such file or directory)")
        server = serve(mode, wait=False, DEVPATCH_ERROR_LOG=str(tmp_path))
        assert_refused(server, "can't be written")

    def test_other_programs_are_not_affected(self, tmp_path):
        environ = clean_environment(
            DEVPATCH_ERROR_LOG=str(tmp_path / "missing" / "x"), DEVPATCH_ON_ERROR="none.such:thing"
        )
        script = "import wsgiref.simple_server; print('fine')"
        result = subprocess.run(
            [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=TIMEOUT
        )
        assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


MAIN_THREAD_WAITS_FOR_THE_REPORT = """
import threading
import django.urls
reporting = threading.Event()
def report(event):
    from receivers import slow
    reporting.set()
    slow(event)
def get_resolver(*args, get=django.urls.get_resolver):
    if threading.current_thread() is threading.main_thread():
        reporting.wait(10)
    return get(*args)
django.urls.get_resolver = get_resolver
"""


@EACH_RELOADER
class TestLoads:
    def test_a_failed_load_is_reported(self, serve_copy, mode, tmp_path):
        """
        1. Break the code in several ways. Each is a line, and an event if an exception was raised.
        2. The log is in the project's folder. Its changes start no worker.
        """
        reports = Reports(tmp_path)
        server, source = serve_copy(mode, wait=False, DEVPATCH_FAILSAFE="1", **reports.variables)
        server.kill()
        reports.log = server.directory / "errors.jsonl"
        server.environ["DEVPATCH_ERROR_LOG"] = "errors.jsonl"
        server.start()
        server.wait_until_ready()
        whole = source.read_text()
        save(source, whole + "\ndef (\n")
        wait_until_broken(server, "SyntaxError")
        (line,), (one, _two) = reports.wait(1, 2)
        assert (line["kind"], line["exception"]["type"]) == ("load", "SyntaxError")
        assert line["exception"]["syntax"]["file"] == str(source)
        assert line["exception"]["syntax"]["source"] == "def ("
        assert (one["kind"], one["method"], one["url"], one["path"]) == ("load", None, None, None)
        assert one["exception"].startswith("SyntaxError: ")
        save(source, f"import os; os._exit(9)\n{whole}")
        wait_until_broken(server, "exit status 9")
        lines, _events = reports.wait(2, 2)
        assert lines[1]["exception"] is None
        assert lines[1]["ended"] == {
            "summary": "the server process ended with exit status 9",
            "status": 9,
            "signal": None,
        }
        if os.name == "posix":
            save(source, f"import os; os.kill(os.getpid(), 11)\n{whole}")
            wait_until_broken(server, "SIGSEGV")
            lines, _events = reports.wait(3, 2)
            assert (lines[2]["ended"]["status"], lines[2]["ended"]["signal"]) == (None, "SIGSEGV")
        time.sleep(2)
        assert is_waiting(server)
        save(source, repaired(whole, 1))
        wait_for_version(server, 1)
        server.get("/view/")
        wait_for(lambda: reports.lines()[-1]["kind"] == "request", "the line of the request")
        stop_with_ctrl_c(server)

    @pytest.mark.modes(choose=lambda mode: mode.id == "runserver-reload")
    def test_similar_concurrent_requests_are_not_confused(self, serve, mode, tmp_path):
        """Two concurrent requests in HTTP/0.9, for which the server uses one string object as the version."""
        with serve(mode).connect() as client:
            client.sendall(b"GET /ok/\r\n\r\n")
            if not receive(client):  # wsgiref needs headers, which 3.14's http.server does not set.
                pytest.skip("this Python's wsgiref fails on HTTP/0.9 without devpatch too")
        reports = Reports(tmp_path)
        server = serve(mode, DEVPATCH_FAILSAFE="1", **reports.variables)
        clients = [server.connect() for _ in range(2)]
        for number, client in enumerate(clients):
            client.sendall(f"GET /sleeping-error/?n={number}&seconds=1\r\n\r\n".encode())
        for client in clients:
            receive(client)
            client.close()
        lines, _events = reports.wait(2, 4)
        assert {line["exception"]["message"] for line in lines} == {"boom number 0", "boom number 1"}

    @pytest.mark.modes(choose=lambda mode: mode.id == "runserver-reload")
    def test_the_worker_ends_after_the_report_of_another_thread(self, serve_copy, mode, tmp_path):
        """Django's reloader also imports the URLconf, in the main thread. There sys.exit ends the worker."""
        reports = Reports(tmp_path, "site_under_test.settings:report")
        server, source = serve_copy(mode, wait=False, DEVPATCH_FAILSAFE="1", **reports.variables)
        server.kill()
        settings = server.directory / "site_under_test/settings.py"
        settings.write_text(settings.read_text() + MAIN_THREAD_WAITS_FOR_THE_REPORT)
        save(source, f"import sys; sys.exit('enough of' + ' it')\n{source.read_text()}")
        server.start()
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        wait_until_broken(server, "enough of it")
        _lines, (event,) = reports.wait(1, 1)
        assert event["exception"] == "SystemExit: enough of it"
        shown = [line for line in server.stderr.splitlines() if "waiting for a change in" not in line]
        assert "\n".join(shown).count("enough of it") == 1, server.stderr
        stop_with_ctrl_c(server)

    @pytest.mark.long
    def test_a_failed_first_start_is_reported(self, serve_copy, mode, tmp_path):
        reports = Reports(tmp_path)
        server, source = serve_copy(mode, wait=False, DEVPATCH_FAILSAFE="1", **reports.variables)
        server.kill()
        whole = source.read_text()
        save(source, f"undefined\n{whole}")
        server.start()
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        (line,), (one, _two) = reports.wait(1, 2)
        assert (line["kind"], line["exception"]["type"]) == ("load", "NameError")
        assert one["exception"] == "NameError: name 'undefined' is not defined"
        save(source, repaired(whole, 1))
        server.wait_until_ready()
        wait_for_version(server, 1)
        stop_with_ctrl_c(server)

    @pytest.mark.long
    def test_a_receiver_that_can_not_be_imported_is_a_failed_load(self, serve_copy, mode, tmp_path):
        reports = Reports(tmp_path, "hooks_of_mine:report")
        server, _source = serve_copy(mode, wait=False, DEVPATCH_FAILSAFE="1", **reports.variables)
        wait_for(lambda: is_waiting(server), lambda: server.stderr)
        wait_until_broken(server, "No module named 'hooks_of_mine'")
        hooks = server.directory / "hooks_of_mine.py"
        save(hooks, "def report(event) broken")
        wait_for(lambda: "SyntaxError" in server.stderr and is_waiting(server), lambda: server.stderr)
        wait_until_broken(server, "SyntaxError")
        save(hooks, "from receivers import first as report\n")
        server.wait_until_ready()
        server.get("/view/")
        wait_for(lambda: reports.events(), "the event")
        assert reports.events()[-1]["kind"] == "request"
        stop_with_ctrl_c(server)
