"""A session with a standby: many saves in a row, what ends it, and how much memory the machine must have."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from breakages import SYNTAX_ERROR
from fastreload import EVENTS, FAST, READY, Project, children
from harness import DevServer, clean_environment, free_port, wait_for

pytest.importorskip("werkzeug")
pytestmark = pytest.mark.long


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.library("harmless", "")
    project.parts.update(imports="import harmless", value="'harmless' in early")
    yield project
    project.stop()


def is_alive(pid: str) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


class TestEnd:
    @pytest.mark.parametrize(
        "name", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP], ids=lambda name: name.name
    )
    @pytest.mark.parametrize("waits", [True, False], ids=["standby", "probe"])
    def test_no_standby_and_no_probe_is_left(self, project, name, waits):
        """SIGINT and SIGHUP go to the whole group, as from a terminal; the others to the first process."""
        if not waits:
            project.library(
                "slow", "import sys, time\nif not hasattr(sys.modules['__main__'], 'early'): time.sleep(30)\n"
            )
            project.parts.update(imports="import harmless, slow")
        project.start(**FAST)
        server = project.server
        (worker,) = children(server)
        if waits:
            project.wait_for_standby()
        wait_for(lambda: len(children(server)) == 2, lambda: project.said)
        (other,) = set(children(server)) - {worker}
        if name in (signal.SIGINT, signal.SIGHUP):
            os.killpg(server.process.pid, name)
        else:
            os.kill(server.process.pid, name)
        server.process.wait(10)
        wait_for(lambda: not is_alive(other), "the end of the other process", timeout=5)
        if name == signal.SIGKILL:  # Its worker stays, as without the switch.
            os.kill(int(worker), signal.SIGKILL)
        server.assert_nothing_left()
        assert "Traceback" not in project.said

    def test_a_standby_gets_no_input_of_the_port(self, project):
        """It accepts no connection: each request is answered by the worker."""
        project.parts["value"] = "os.getpid()"
        project.start(**FAST)
        (worker,) = children(project.server)
        project.wait_for_standby()
        assert {project.answer() for _ in range(20)} == {f"{worker}|0"}


# Writes a word when it is freed. The interpreter may have cleared the modules that it needs.
_ACTS = """
import os
class Acts:
    def __del__(self, write=os.write, file=os.open({file!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)):
        write(file, b'{name}|')
"""


class TestEndOfAWorker:
    """Its libraries' modules are not cleared. What acts when it is freed is freed all the same."""

    @pytest.mark.parametrize("switch", [FAST, EVENTS], ids=["standby", "events"])
    def test_what_acts_when_it_is_freed(self, project, tmp_path, switch):
        """Of the project and of a library, also deep inside of other values; a file is written to its end."""
        file = str(tmp_path / "freed")
        project.library("acts", _ACTS.format(file=file, name="library") + "kept = {'a': [(Acts(),)]}\n")
        project.library("writes", f"out = [open({file + '2'!r}, 'a')]\nout[0].write('to the end')\n")
        (project.folder / "own.py").write_text(_ACTS.format(file=file, name="own") + "kept = [Acts()]\n")
        project.parts.update(
            imports="import harmless, acts, writes, own",
            value="[name for name in ('harmless', 'acts', 'writes', 'own') if name in keeping._kept]",
            head="from devpatch.features.fastreload.standby import keeping",
        )
        project.start(**switch)
        wait_for(lambda: project.answer() == "['harmless']|0", lambda: project.answer())
        project.reload()
        assert sorted(Path(file).read_text().split("|")) == ["", "library", "own"]
        assert Path(file + "2").read_text() == "to the end"

    def test_a_library_can_be_imported_until_the_end(self, project, tmp_path):
        """Also by what runs after all functions of atexit: a value that is freed."""
        file = tmp_path / "imported"
        project.library("late", "VALUE = 'imported'\n")
        project.parts.update(
            imports="import harmless, late",
            head=f"""
from devpatch.features.fastreload.standby import keeping
import atexit
def report():
    import late
    from late import VALUE
    open({str(file)!r}, 'a').write(f'{{VALUE}} {{late.VALUE}} {{type(late).__name__}}|')
class AtTheEnd:
    def __init__(self): self.me = self
    def __del__(self): report()
def make():
    AtTheEnd()
atexit.register(make)
atexit.register(report)
""",
            value="'late' in keeping._kept",
        )
        project.start(**FAST)
        wait_for(lambda: project.answer() == "True|0", lambda: project.answer())
        project.reload()
        assert file.read_text() == "imported imported module|imported imported _Kept|"


def test_the_first_import_of_the_program_is_imported_ahead(project):
    """Its finder is asked like all others, though devpatch's hook for the program's start removes itself then."""
    project.library("first", "")
    project.parts.update(head="import first", value="'first' in early")
    project.start(**FAST)
    assert project.restart() == "True"


def test_fewer_imports_need_no_other_plan(project, tmp_path):
    """What a worker imports depends on its requests. A library that a worker does not import any more starts no probe.

    1. ``cold`` imports a module of the project, so it stays cold. ``counted`` counts how often it is executed.
    2. The workers import ``cold``, or don't, in turn.
    3. Each reload executes ``counted`` once: in the standby.
    """
    counts = tmp_path / "counts"
    (project.folder / "own.py").write_text("")
    project.library("cold", "import own\n")
    project.library("counted", f"open({str(counts)!r}, 'a').write('x')\n")
    project.parts["imports"] = "import counted, cold"
    project.start(**FAST)
    project.wait_for_standby()
    for without in (True, False, True):
        before = counts.stat().st_size
        project.reload(imports="import counted" if without else "import counted, cold")
        project.wait_for_standby()
        time.sleep(0.5)  # A probe would begin at about the same time as the standby.
        assert counts.stat().st_size == before + 1


def test_the_folder_of_broken_code_is_deleted(project):
    """The session stays, and says what is missing. It ends without a traceback of its own at Ctrl-C."""
    project.start(**FAST)
    project.save(imports=SYNTAX_ERROR)
    project.wait_for("waiting for a change")
    shutil.rmtree(project.folder)
    project.wait_for("app.py is not there")
    assert project.server.process.poll() is None
    assert "FileNotFoundError" not in project.said
    project.server.interrupt()
    project.server.exit_status()
    project.server.assert_nothing_left()


def test_events_keep_no_standby(project):
    project.start(**EVENTS)
    project.reload()
    time.sleep(3)
    assert len(children(project.server)) == 1
    assert READY not in project.said


def test_the_standby_is_not_kept_without_memory(project, tmp_path):
    """The file in which Linux tells of its memory is replaced in a namespace of its own."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100000 kB\nMemAvailable: 20000 kB\n")
    mount = f"mount --bind {meminfo} /proc/meminfo && exec "
    words = ["unshare", "-Urm", "sh", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*words, f"{mount}true"], capture_output=True).returncode
    ):
        pytest.skip("no namespaces of mounts here")
    project.save()
    port = free_port()
    environ = clean_environment(**project.variables, **FAST)
    command = [*words, f"{mount}{sys.executable} app.py {port}"]
    project.server = DevServer(command, project.folder, tmp_path, port, environ)
    project.server.start().wait_until_ready()
    project.wait_for("fast reload keeps no standby: the machine is short of memory")
    wait_for(lambda: len(children(project.server)) == 1, "the end of the standby")
    for _ in range(2):
        assert project.reload() == "False"
        time.sleep(2)
    assert project.said.count("short of memory") == 1


@pytest.mark.slow
class TestManySaves:
    def test_each_answer_is_of_the_version_on_the_disk(self, project, pytestconfig):
        """
        1. Save again and again: good versions, broken ones, several files, twice within a moment.
        2. Each answer is of the version that is on the disk, or of the one before it while the server reloads.
        3. At the end there are no more processes, descriptors and temporary files than at the beginning.
        """
        generator = random.Random(0)
        project.variables["TMPDIR"] = tempfile.mkdtemp(dir=project.libraries.parent)
        (project.folder / "part.py").write_text("VALUE = 0\n")
        project.parts.update(imports="import harmless, part", value="part.VALUE")
        project.start(**FAST)
        project.wait_for_standby()
        self.break_and_repair(project)  # The error page opens its descriptors at the first time.
        before = self.state(project)
        for _ in range(300 if pytestconfig.getoption("--all") else 40):
            self.save_something(project, generator)
            if generator.random() < 0.3:
                time.sleep(generator.random())
        project.reload()
        count = project.said.count(READY)
        wait_for(
            lambda: project.said.count(READY) > count or self.state(project)[0] == before[0], "a standby"
        )
        processes, descriptors, files, memory = self.state(project)
        assert processes == before[0]
        assert descriptors <= before[1] + 2
        assert memory < before[3] + 20_000_000
        assert files <= before[2] + 3, "one plan for each of some sets of modules"
        project.server.interrupt()
        assert project.server.exit_status() == 0
        project.server.assert_nothing_left()
        assert not list(Path(project.variables["TMPDIR"]).iterdir())

    def break_and_repair(self, project):
        project.source.write_text(project.source.read_text() + SYNTAX_ERROR)
        wait_for(lambda: project.server.get("/ok/").status == 500, lambda: project.said)
        project.reload()
        time.sleep(2)

    def save_something(self, project, generator):
        kind = generator.choice(["good", "good", "part", "twice", "same size", "broken"])
        version = int(str(project.parts["version"]))
        if kind == "broken":
            project.source.write_text(project.source.read_text() + SYNTAX_ERROR)
            wait_for(lambda: project.server.get("/ok/").status == 500, lambda: project.said)
        if kind == "part":
            (project.folder / "part.py").write_text(f"VALUE = {generator.randrange(10, 99)}\n")
        if kind == "twice":
            project.save(version=version + 1)
            version += 1
            time.sleep(generator.random() / 10)
        if kind == "same size":
            part = project.folder / "part.py"
            value = generator.randrange(10, 99)
            part.write_text(f"VALUE = {value}\n")
            wait_for(lambda: project.answer().startswith(str(value)), lambda: project.said)
            part.write_text(f"VALUE = {value + 1}\n")
            wait_for(lambda: project.answer().startswith(str(value + 1)), lambda: project.said)
        project.save(version=version + 1)
        allowed = {str(version - 1), str(version), str(version + 1)}

        def is_served():
            response = project.server.get("/ok/")
            if response.status != 200:
                return False
            found = response.body.decode().rpartition("|")[2]
            assert found in allowed, (kind, found, allowed)
            return found == str(version + 1)

        wait_for(is_served, lambda: project.said)

    def state(self, project):
        """Return the numbers of processes, descriptors and temporary files, and the first one's memory in bytes."""
        pid = project.server.process.pid
        files = sum(1 for path in Path(project.variables["TMPDIR"]).rglob("*") if path.is_file())
        memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return len(children(project.server)), len(os.listdir(f"/proc/{pid}/fd")), files, memory
