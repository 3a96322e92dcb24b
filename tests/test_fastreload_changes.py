"""Fast reload notices a change immediately: by events, or else by frequent polling, and then one line says so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from fastreload import EVENTS, FAST, Project, children
from harness import DevServer, clean_environment, free_port, wait_for
from projects import RUNSERVER, django_files

from devpatch.features.fastreload.file_changes import folders
from devpatch.features.fastreload.file_changes.events import Events

pytest.importorskip("werkzeug")
POLLS = "fast reload: it polls the files every 0.2 s, because "
NEVER = 3600  # seconds between two looks of the reloader, if nothing wakes it


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, interval=NEVER)
    yield project
    project.stop()


@pytest.fixture
def events():
    pytest.importorskip("watchfiles")


def test_events_wake_the_reloader(project, events):
    """
    1. The reloader would look once an hour.
    2. Each save is served all the same, and nothing has said that there are no events.
    3. There is one worker and no other process.
    """
    project.start(**EVENTS)
    assert len(children(project.server)) == 1
    for _ in range(3):
        project.reload()
    assert POLLS not in project.said
    assert len(children(project.server)) == 1


@pytest.mark.long
def test_a_log_that_grows_does_not_hold_a_reload(project, events):
    """A log in the project changes all the time. The answers still come, and each save is served."""
    project.parts.update(value="open('growing.log', 'a').write('x' * 100)")
    project.start(**EVENTS)
    for _ in range(3):
        for _ in range(20):
            project.answer()
        project.reload()
    assert POLLS not in project.said


@pytest.mark.long
def test_without_watchfiles_it_looks_at_the_files(project):
    hidden = project.libraries / "watchfiles.py"
    hidden.write_text("raise ImportError('hidden')\n")
    project.start(**EVENTS)
    for _ in range(2):
        project.reload()
    assert f"{POLLS}watchfiles is not installed: pip install 'devpatch[fast]'" in project.said
    assert project.said.count(POLLS) == 1


@pytest.mark.long
def test_an_exhausted_limit_of_the_system(project, events):
    """A namespace of users has a limit of its own for the folders that can be watched."""
    limit = "/proc/sys/user/max_inotify_watches"
    command = f"echo 1 > {limit} && exec "
    if (
        not shutil.which("unshare")
        or subprocess.run(["unshare", "-Ur", "sh", "-c", f"{command}true"], capture_output=True).returncode
    ):
        pytest.skip("no namespaces of users here")
    (project.folder / "package").mkdir()
    project.save()
    port = free_port()
    words = f"{command}{sys.executable} app.py {port}"
    environ = clean_environment(**project.variables, **EVENTS)
    project.server = DevServer(
        ["unshare", "-Ur", "sh", "-c", words], project.folder, project.libraries, port, environ
    )
    project.server.start().wait_until_ready()
    project.reload()
    assert POLLS in project.said


@pytest.mark.long
def test_without_threads_of_the_system_it_looks_at_the_files(project, events):
    """As with gevent, whose threads take turns. One that waits for events would block the others."""
    project.parts["head"] = (
        "import _thread\nstart = _thread.start_new_thread\n"
        "_thread.start_new_thread = lambda *arguments: start(*arguments)"
    )
    project.start(**EVENTS)
    for _ in range(2):
        project.reload()
    assert f"{POLLS}gevent or eventlet replaces threads" in project.said


@pytest.mark.long
def test_a_folder_that_goes_away(tmp_path, events):
    """Some programs make a folder for a moment, such as one for a search index. The others are watched nevertheless."""
    listed = iter([[str(tmp_path), str(tmp_path / "gone")]])
    reports, failures = [], []

    class EventsOfAnEarlierLook(Events):
        def _paths(self):
            return next(listed, None) or super()._paths()

    source = EventsOfAnEarlierLook([str(tmp_path)], [], reports.append, failures.append)
    source.start()
    try:
        wait_for(lambda: reports, lambda: f"the begin; {failures}")
        (tmp_path / "module.py").write_text("")
        wait_for(lambda: any(str(tmp_path / "module.py") in report for report in reports), lambda: reports)
        assert not failures
    finally:
        source.stop()
        source.join()


@pytest.mark.long
def test_a_change_of_which_no_event_comes(project, events):
    """A file has another name outside of the watched folders. The system sends an event for that folder only."""
    other = project.libraries.parent / "elsewhere"
    other.mkdir()
    project.parts.update(imports="import linked", value="linked.VALUE")
    (other / "linked.py").write_text("VALUE = 1\n")
    os.link(other / "linked.py", project.folder / "linked.py")
    project.start(**EVENTS)
    for value in (2, 3):
        time.sleep(3)  # Just after a start, the reloader looks anyway.
        (other / "linked.py").write_text(f"VALUE = {value}{' ' * value}\n")
        wait_for(lambda value=value: project.answer().startswith(str(value)), lambda: project.said)
    project.wait_for(f"{POLLS}a file changed, and the system sent no event")


def test_mounts_without_events(tmp_path):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"23 22 0:40 / {tmp_path}/shared\\040code rw - fuse.grpcfuse grpcfuse rw\n"
        f"24 22 0:41 / {tmp_path}/net rw shared:5 - nfs4 server:/ rw\n"
    )
    for name in ("shared code", "net", "local"):
        (tmp_path / name / "inner").mkdir(parents=True)
    found = {
        name: folders.silent_mount([str(tmp_path / name / "inner")], str(mounts))
        for name in ("shared code", "net", "local")
    }
    assert found["local"] is None
    assert found["net"].endswith("inner (nfs4)")
    assert found["shared code"].endswith("inner (fuse.grpcfuse)")


@pytest.mark.long
class TestOneStartForOneAct:
    def starts(self, project):
        return project.said.count("Detected change") + project.said.count("starting again")

    def test_a_checkout(self, project, events):
        """git changes 200 files while it holds its lock. The worker is started once."""
        names = [f"part{number}" for number in range(200)]
        for name in names:
            (project.folder / f"{name}.py").write_text("VALUE = 1\n")
        project.parts.update(
            imports=f"import {', '.join(names)}", value=f"{names[-1]}.VALUE + {names[0]}.VALUE"
        )
        project.save()
        git(project.folder, "init", "-q")
        git(project.folder, "add", ".")
        git(project.folder, "commit", "-qm", "one")
        git(project.folder, "checkout", "-qb", "two")
        for name in names:
            (project.folder / f"{name}.py").write_text("VALUE = 20\n")
        git(project.folder, "commit", "-qam", "two")
        git(project.folder, "checkout", "-q", "-")
        project.start(**EVENTS)
        time.sleep(1.5)
        git(project.folder, "checkout", "-q", "two")
        wait_for(lambda: project.answer() == "40|0", lambda: project.said)
        time.sleep(1)
        assert self.starts(project) == 1, project.said

    def test_a_lock_of_git_holds_the_reload(self, project, events):
        git(project.folder, "init", "-q")
        project.start(**EVENTS)
        project.reload()
        time.sleep(2)  # Just after a start, the reloader looks anyway.
        lock = project.folder / ".git" / "index.lock"
        lock.touch()
        project.save(version=2)
        time.sleep(1)
        assert project.answer().endswith("|1")
        lock.unlink()
        wait_for(lambda: project.answer().endswith("|2"), lambda: project.said)

    def test_an_editors_dance_of_names(self, project, events):
        """As vim does it: a test file, a backup, the new text under the old name."""
        project.start(**EVENTS)
        project.reload()
        before = self.starts(project)
        text = project.source.read_text().replace("|1", "|2")
        (project.folder / "4913").touch()
        (project.folder / "4913").unlink()
        os.replace(project.source, project.folder / "app.py~")
        project.source.write_text(text)
        (project.folder / "app.py~").unlink()
        wait_for(lambda: project.answer().endswith("|2"), lambda: project.said)
        time.sleep(1)
        assert self.starts(project) == before + 1, project.said


@pytest.mark.long
def test_a_change_ends_a_worker_that_loads(project, events):
    """
    1. A version is saved whose load never ends.
    2. A second later, a good version is saved. It is served.
    """
    mark = project.folder / "loads.txt"
    project.start(**EVENTS)
    project.save(version=1, head=f"import time; open({str(mark)!r}, 'x'); time.sleep(3600)")
    wait_for(mark.exists, lambda: project.said)
    project.reload(head="")
    assert "app.py changed while the code was loading, starting again" in project.said


@pytest.mark.long
def test_a_syntax_error_has_the_traceback_that_python_prints(project):
    """Python leaves out its import system. It would not if devpatch had a frame in between."""
    module = project.folder / "broken.py"
    module.write_text("VALUE = 1\n")
    project.parts.update(imports="import broken", value="broken.VALUE")
    project.start(**FAST)
    project.wait_for_standby()
    module.write_text("VALUE = (\n")
    project.wait_for("waiting for a change")
    traceback = project.said[project.said.index("Traceback") :]
    assert "broken.py" in traceback
    assert "importlib" not in traceback
    assert "devpatch/" not in traceback


class TestSources:
    def value(self, project):
        return project.server.get("/twice/").body.decode().partition("|")[0]

    def test_two_saves_of_the_same_size_within_a_second(self, project, tmp_path):
        """
        1. A module is saved, imported by a request, and saved again with the same size, all in the same second.
        2. The next worker runs the second text. Python's .pyc file would be valid for both.
        """
        module = project.folder / "twice.py"
        project.parts.update(value="environ['PATH_INFO'] == '/twice/' and __import__('twice').VALUE")
        project.start(**EVENTS)
        for number in range(10, 90, 2):
            time.sleep(1.05 - time.time() % 1)
            module.write_text(f"VALUE = {number}\n")
            began = int(module.stat().st_mtime)
            first = self.value(project)
            module.write_text(f"VALUE = {number + 1}\n")
            is_same_second = int(module.stat().st_mtime) == began
            project.reload()
            answer = self.value(project)
            assert answer == str(number + 1), (first, answer, is_same_second)
            if is_same_second and first == str(number):
                return
        pytest.skip("the machine is too slow for two saves within a second")

    def test_stock_python_runs_the_first_text(self, tmp_path):
        """The reason for the rule above."""
        module = tmp_path / "twice.py"
        for text in ("VALUE = 1\n", "VALUE = 2\n"):
            module.write_text(text)
            os.utime(module, (1_000_000_000, 1_000_000_000))
            command = [sys.executable, "-c", "import twice; print(twice.VALUE)"]
            result = subprocess.run(
                command, cwd=tmp_path, env=clean_environment(), capture_output=True, text=True
            )
        assert result.stdout == "1\n"


@pytest.mark.long
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda name: name.name)
def test_a_signal_ends_the_session(project, name):
    project.start(**EVENTS)
    project.reload()
    os.kill(project.server.process.pid, name)
    project.server.process.wait(10)
    if name == signal.SIGKILL:  # As without the switch, the worker is left.
        os.killpg(project.server.process.pid, signal.SIGINT)
    project.server.assert_nothing_left()


@pytest.mark.long
def test_it_contradicts_fail_safe_turned_off(project):
    project.save()
    port = free_port()
    environ = clean_environment(**project.variables, DEVPATCH_FASTRELOAD="1", DEVPATCH_FAILSAFE="0")
    project.server = DevServer(
        [sys.executable, "app.py", str(port)], project.folder, project.libraries, port, environ
    )
    project.server.start()
    assert project.server.exit_status() == 2
    assert project.said.count("devpatch: ") == 1
    assert "needs DEVPATCH_FAILSAFE, which is set to '0'" in project.said


def git(folder, *words):
    options = ["-c", "user.name=name", "-c", "user.email=name@example.org"]
    subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)


@pytest.mark.long
def test_a_file_that_goes_away_and_comes_back(serve_project, events):
    """Django lists the modules' files when a module was imported since its last look. Here it is gone just then."""
    pytest.importorskip("django")
    views = "\ndef page(request): return _Response('{}')\n"
    server = serve_project(django_files(views=views.format("old")), *RUNSERVER, **FAST)
    assert server.get("/page/").body == b"old"
    time.sleep(3)  # The worker is idle, and has imported what it needs for that.
    (file,) = [path for path in server.directory.rglob("views.py") if "def page" in path.read_text()]
    away = file.with_suffix(".away")
    file.rename(away)
    time.sleep(2)
    away.rename(file)
    time.sleep(1.5)
    file.write_text(file.read_text().replace("old", "new"))
    wait_for(lambda: server.get("/page/").body == b"new", lambda: server.stderr)


@pytest.mark.long
def test_django_looks_at_the_own_files_first(serve_project, events):
    """The set stays a set of the same files, because other programs use it too."""
    pytest.importorskip("django")
    views = (
        "from django.utils import autoreload as _autoreload\n"
        "def page(request):\n"
        "    files = _autoreload.iter_all_python_module_files()\n"
        "    kept = isinstance(files, frozenset) and files == frozenset(files) and len(files) == len(list(files))\n"
        "    return _Response('\\n'.join([str(kept), *map(str, files)]))\n"
    )
    server = serve_project(django_files(views=views), *RUNSERVER, **FAST)
    kept, *files = server.get("/page/").body.decode().split("\n")
    own = [str(server.directory.resolve()) in file for file in files]
    assert kept == "True"
    assert 2 < sum(own) < len(own)
    assert own == sorted(own, reverse=True)
