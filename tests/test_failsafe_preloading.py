"""The next worker's interpreter starts while the one before it ends: no code of the user's can tell."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest
from breakages import save
from harness import DevServer, clean_environment, free_port, wait_for

pytest.importorskip("werkzeug")

APP = """
import sys
early = 'wrapt' in sys.modules
{imports}
from werkzeug import Response, run_simple

def app(environ, start_response):
    text = f'{{early}} {{value}} {version}'
    return Response(text)(environ, start_response)

if __name__ == '__main__':
    run_simple('127.0.0.1', int(sys.argv[1]), app, use_reloader=True, reloader_type='stat')
"""


class Project:
    def __init__(self, folder):
        self.folder = folder
        self.version = 0
        self.imports = "value = 'none'"
        self.write()
        port = free_port()
        command = [sys.executable, str(folder / "app.py"), str(port)]
        self.server = DevServer(command, folder, folder, port, clean_environment(DEVPATCH_FAILSAFE="1"))
        self.server.start()
        self.server.until_ready()

    def write(self):
        save(self.folder / "app.py", APP.format(imports=self.imports, version=self.version))

    def body(self):
        return self.server.get("/ok/").body.decode()

    def reload(self):
        """Save the next version; return what it answers, but for the version."""
        time.sleep(1.1)  # the reloader's interval
        self.version += 1
        self.write()
        wait_for(lambda: self.body().endswith(f" {self.version}"), lambda: self.server.stderr)
        return self.body().rpartition(" ")[0]


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    yield project
    project.server.kill()


def test_what_a_worker_needs_in_any_case_is_imported_before_its_turn(project):
    assert project.body() == "False none 0"
    assert project.reload() == "True none"
    assert project.reload() == "True none"


@pytest.mark.long
def test_a_file_named_like_a_module_of_the_standard_library_is_still_the_users(project):
    (project.folder / "csv.py").write_text("mine = 'mine'\n")
    project.imports = "import csv; value = getattr(csv, 'mine', 'the library')"
    assert project.reload() == "False mine"
    assert project.reload() == "False mine"


@pytest.mark.long
def test_nothing_is_imported_before_gevent(project):
    # Stands for the package: only that the application imports it matters.
    (project.folder / "gevent.py").touch()
    project.imports = "import gevent; value = 'patched'"
    project.reload()
    assert project.reload() == "False patched"


@pytest.mark.long
def test_a_wrapt_of_the_projects_own_is_not_mistaken(project):
    """From the second reload on, for it is where the worker before found it that counts."""
    import wrapt

    vendor = project.folder / "vendor"
    vendor.mkdir()
    (vendor / "wrapt").symlink_to(os.path.dirname(wrapt.__file__))
    project.imports = f"sys.path.insert(0, {str(vendor)!r}); import wrapt; value = wrapt.__file__"
    project.reload()
    assert project.reload() == f"False {vendor / 'wrapt' / '__init__.py'}"


@pytest.mark.long
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda name: name.name)
def test_an_end_in_the_middle_of_a_reload_leaves_nothing(project, name):
    """The worker drains for a request in flight, the next one waits: both go, without a word."""
    server = project.server
    time.sleep(1.1)
    with server.connect() as slow:
        slow.sendall(b"GET /ok/ HTTP/1.1\r\nHost: localhost\r\n")  # The rest never comes.
        time.sleep(0.3)
        project.version += 1
        project.write()
        wait_for(lambda: len(children(server)) == 2, lambda: f"two workers; {server.stderr}")
        said = server.stderr
        if name == signal.SIGINT:
            server.interrupt()
        else:
            os.kill(server.process.pid, name)
        server.process.wait(10)
        server.assert_nothing_left()
    assert "Traceback" not in server.stderr[len(said) :]


def children(server):
    """Return the processes that the server's first one started."""
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    if not os.path.exists(path):
        pytest.skip("no list of a process's children here")
    with open(path) as file:
        return file.read().split()
