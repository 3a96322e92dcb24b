"""The standby, the next worker's interpreter, starts while the old worker ends. User code can't notice it."""

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
        self.server.wait_until_ready()

    def write(self):
        save(self.folder / "app.py", APP.format(imports=self.imports, version=self.version))

    def body(self):
        return self.server.get("/ok/").body.decode()

    def reload(self):
        """Save the next version, wait until it is served, and return its answer without the version."""
        time.sleep(1.1)  # the reloader's polling interval
        self.version += 1
        self.write()
        wait_for(lambda: self.body().endswith(f" {self.version}"), lambda: self.server.stderr)
        return self.body().rpartition(" ")[0]


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    yield project
    project.server.kill()


def test_the_standby_imports_what_every_worker_needs(project):
    assert project.body() == "False none 0"
    assert project.reload() == "True none"
    assert project.reload() == "True none"


@pytest.mark.long
def test_a_project_file_that_shadows_a_standard_library_module_is_imported(project):
    (project.folder / "csv.py").write_text("mine = 'mine'\n")
    project.imports = "import csv; value = getattr(csv, 'mine', 'the library')"
    assert project.reload() == "False mine"
    assert project.reload() == "False mine"


@pytest.mark.long
def test_nothing_is_imported_before_gevent(project):
    # An empty file instead of the package. It only matters that the application imports it.
    (project.folder / "gevent.py").touch()
    project.imports = "import gevent; value = 'patched'"
    project.reload()
    assert project.reload() == "False patched"


@pytest.mark.long
def test_a_wrapt_vendored_by_the_project_is_imported(project):
    """From the second reload on, because the standby learns from the previous worker where wrapt is."""
    import wrapt

    vendor = project.folder / "vendor"
    vendor.mkdir()
    (vendor / "wrapt").symlink_to(os.path.dirname(wrapt.__file__))
    project.imports = f"sys.path.insert(0, {str(vendor)!r}); import wrapt; value = wrapt.__file__"
    project.reload()
    assert project.reload() == f"False {vendor / 'wrapt' / '__init__.py'}"


@pytest.mark.long
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda name: name.name)
def test_a_signal_during_a_reload_leaves_no_process(project, name):
    """The old worker drains for a request in flight, and the standby waits. Both end without a message."""
    server = project.server
    time.sleep(1.1)
    with server.connect() as slow:
        slow.sendall(b"GET /ok/ HTTP/1.1\r\nHost: localhost\r\n")  # The client never sends the rest.
        time.sleep(0.3)
        project.version += 1
        project.write()
        wait_for(lambda: len(children(server)) == 2, lambda: f"two workers; {server.stderr}")
        before = len(server.stderr)
        if name == signal.SIGINT:
            server.interrupt()
        else:
            os.kill(server.process.pid, name)
        server.process.wait(10)
        server.assert_nothing_left()
    assert "Traceback" not in server.stderr[before:]


def children(server):
    """Return the ids of the processes that the server's first process started."""
    path = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    if not os.path.exists(path):
        pytest.skip("the system does not list a process's children")
    with open(path) as file:
        return file.read().split()
