"""The standby imports libraries before the project's code runs. Each test is a way in which that code could notice."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import textwrap
from pathlib import Path

import pytest
from fastreload import COLD, FAST, Project
from harness import wait_for
from projects import RUNSERVER, VIEWS, django_files

pytest.importorskip("werkzeug")
pytestmark = pytest.mark.long
# Workers inherit what the reloader's parent has set, so the code sets it only in the worker.
IN_WORKER = "if 'WERKZEUG_RUN_MAIN' in os.environ: "


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    # A library without any trap. If it is there early, a standby has served.
    project.library("harmless", "")
    yield project
    project.stop()


def warmed(project, *names):
    """Start the server, reload once with a standby, and return which of ``names`` it had imported ahead.

    The answer's value must be an expression for a tuple; its items follow.
    """
    names = ("harmless", *names)
    value = project.parts["value"]
    imports = f"import harmless\n{project.parts['imports']}"
    project.parts.update(
        value=f"[sorted({names!r} & early), {value}]".replace(f"{names!r}", f"set({names!r})"),
        imports=imports,
    )
    project.start(**FAST)
    cold = project.answer().rpartition("|")[0]
    assert cold.startswith("[[], "), cold
    warm = project.restart()
    early, _, rest = warm.removeprefix("[[").partition("], ")
    assert rest == cold.removeprefix("[[], "), "the answers differ"
    assert "'harmless'" in early, (warm, project.said)
    return {name.strip(" '") for name in early.split(",")} - {"harmless"}


def test_the_framework_itself_is_imported_ahead(project):
    """devpatch reads all variables when the framework is imported. That is not the framework's doing."""
    project.parts.update(
        head=f"{IN_WORKER}os.environ['LIBRARY_MODE'] = 'set'", value="'werkzeug.serving' in early"
    )
    project.start(**FAST)
    assert project.answer() == "False|0"
    assert project.restart() == "True"


class TestEnvironment:
    @pytest.mark.parametrize(
        "read", ["os.environ.get('LIBRARY_MODE')", "dict(os.environ).get('LIBRARY_MODE')"]
    )
    def test_a_library_that_reads_what_the_code_sets_stays_cold(self, project, read):
        project.library("reader", f"import os\nMODE = {read}\n")
        project.parts.update(
            head=f"{IN_WORKER}os.environ['LIBRARY_MODE'] = 'set'",
            imports="import reader",
            value="reader.MODE",
        )
        assert warmed(project, "reader") == set()
        assert "'set'" in project.answer()

    def test_a_library_that_reads_what_nobody_changes_is_imported_ahead(self, project):
        project.library("reader", "import os\nMODE = os.environ.get('LIBRARY_MODE')\n")
        project.parts.update(imports="import reader", value="reader.MODE")
        assert warmed(project, "reader") == {"reader"}

    @pytest.mark.parametrize("changes", [True, False])
    @pytest.mark.parametrize("reads", [True, False])
    def test_an_extension_module_that_may_read_what_the_code_sets_stays_cold(self, project, changes, reads):
        source = extension(reads)
        package = project.libraries / "extended"
        package.mkdir()
        (package / "__init__.py").touch()
        shutil.copy(source, package)
        name = f"extended.{source.name.partition('.')[0]}"
        head = f"{IN_WORKER}os.environ['LIBRARY_MODE'] = 'set'" if changes else ""
        project.parts.update(head=head, imports=f"import {name}")
        assert warmed(project, name) == (set() if changes and reads else {name})

    def test_a_variable_that_the_code_begins_to_set_replaces_the_worker(self, project):
        """The standby has imported the library already. Then the worker is started once more, cold."""
        project.library("reader", "import os\nMODE = os.environ.get('LIBRARY_MODE')\n")
        project.parts.update(imports="import harmless, reader", value="reader.MODE")
        project.start(**FAST)
        assert project.restart(head=f"{IN_WORKER}os.environ['LIBRARY_MODE'] = 'set'") == "set"
        assert f"{COLD}reader reads LIBRARY_MODE, which the code changes now" in project.said


def extension(reads: bool) -> Path:
    """Return the file of an extension module that works in another package, and that may read variables or not."""
    folder = Path(os.__file__).parent / "lib-dynload"
    for name in (
        ("pyexpat", "_decimal") if reads else ("_queue", "_heapq", "_bisect", "_opcode", "_statistics")
    ):
        for suffix in importlib.machinery.EXTENSION_SUFFIXES:
            file = folder / f"{name}{suffix}"
            if file.exists() and (b"getenv" in file.read_bytes()) is reads:
                return file
    pytest.skip("this Python has no such file")


def test_a_library_that_reads_settings_stays_cold(serve_project, tmp_path):
    pytest.importorskip("django")
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    (libraries / "harmless.py").touch()
    reader = """
        from django.conf import settings
        try:
            SHOWN = settings.SHOWN
        except Exception:
            SHOWN = 'not configured'
    """
    (libraries / "reader.py").write_text(textwrap.dedent(reader))
    views = "import harmless as _h, reader as _reader\n"
    views += "def shown(request): return _Response(f'{_reader.SHOWN} {_early}')\n"
    manage = "import builtins\nbuiltins.early = [name in sys.modules for name in ('reader', 'harmless')]\n"
    files = django_files(
        settings="SHOWN = 'shown'", views=f"import builtins as _b; _early = _b.early\n{views}", manage=manage
    )
    server = serve_project(files, *RUNSERVER, **FAST, PYTHONPATH=str(libraries))
    assert server.get("/shown/").body == b"shown [False, False]"
    wait_for(lambda: "a standby waits" in server.stderr, lambda: server.stderr)
    (server.directory / "views.py").write_text(files["views.py"].replace(VIEWS[:5], f"# 1\n{VIEWS[:5]}"))
    wait_for(lambda: server.get("/shown/").body == b"shown [False, True]", lambda: server.stderr)


class TestFailures:
    def test_a_library_that_fails_without_the_code_stays_cold(self, project):
        project.library("registry", "entries = []\nconfigured = False\n")
        project.library(
            "flaky",
            "import registry\nregistry.entries.append(1)\nif not registry.configured: raise ValueError\n",
        )
        project.parts.update(
            imports="import registry; registry.configured = True; import flaky", value="registry.entries"
        )
        assert warmed(project, "registry", "flaky") == {"registry"}

    def test_a_standby_in_which_an_import_fails_is_not_used(self, project):
        """The library fails the third time: after the first worker and the probe, in the first standby."""
        count = project.folder / "count.txt"
        flaky = f"""
            import registry
            registry.entries.append(1)
            with open({str(count)!r}, 'a+') as file:
                file.write('x'); file.seek(0)
                if len(file.read()) == 3: raise ValueError
        """
        project.library("registry", "entries = []\n")
        project.library("flaky", textwrap.dedent(flaky))
        project.parts.update(imports="import registry, flaky", value="len(registry.entries)")
        project.start(**FAST)
        assert project.answer() == "1|0"
        wait_for(lambda: count.read_text().startswith("xxx"), "a standby")
        for _ in range(3):
            assert project.reload() == "1"


def test_modules_are_imported_in_the_order_in_which_their_import_began(project):
    """Python lists modules in the order in which their import ended. Imported in that order, these would fail."""
    project.library("outer", "X = 1\nfrom inner import Y\n")
    project.library("inner", "from outer import X\nY = X\n")
    project.parts.update(imports="import outer", value="outer.Y")
    assert warmed(project, "outer", "inner") == {"outer", "inner"}


class TestNames:
    @pytest.mark.parametrize("name", ["shared", "calendar"])
    def test_an_own_file_with_the_name_of_a_library(self, project, name):
        project.library("shared", "WHOSE = 'library'\n")
        (project.folder / f"{name}.py").write_text("WHOSE = 'own'\n")
        project.library("asker", f"import {name}\nWHOSE = getattr({name}, 'WHOSE', 'library')\n")
        project.parts.update(imports=f"import {name}, asker", value=f"({name}.WHOSE, asker.WHOSE)")
        assert warmed(project, "asker") == set()

    def test_a_module_that_the_code_swaps_for_another_one(self, project):
        project.library("other_database", "NAME = 'other'\n")
        project.library("asker", "import sqlite3\nNAME = getattr(sqlite3, 'NAME', 'library')\n")
        project.parts.update(
            head="import sys, other_database\nsys.modules['sqlite3'] = other_database",
            imports="import asker",
            value="asker.NAME",
        )
        assert warmed(project, "asker", "other_database") == {"other_database"}

    def test_a_library_that_looks_for_a_module_of_the_project(self, project):
        (project.folder / "local_hooks.py").write_text("FOUND = True\n")
        project.library(
            "asker", "try:\n    from local_hooks import FOUND\nexcept ImportError:\n    FOUND = False\n"
        )
        project.parts.update(imports="import asker", value="asker.FOUND")
        assert warmed(project, "asker") == set()

    def test_a_file_that_appears_while_the_standby_waits(self, project):
        project.library(
            "asker", "try:\n    from local_hooks import FOUND\nexcept ImportError:\n    FOUND = False\n"
        )
        project.parts.update(imports="import harmless, asker", value="asker.FOUND")
        project.start(**FAST)
        project.wait_for_standby()
        (project.folder / "local_hooks.py").write_text("FOUND = True\n")
        assert project.reload() == "True"

    def test_packages_of_an_environment_inside_the_project_are_libraries(self, project):
        inside = project.folder / "venv" / "lib" / "site-packages"
        inside.mkdir(parents=True)
        (inside / "installed.py").touch()
        project.variables["PYTHONPATH"] += f":{inside}"
        project.parts.update(imports="import installed")
        assert warmed(project, "installed") == {"installed"}

    def test_an_editable_installation_is_own_code_and_so_is_what_imports_it(self, project, tmp_path):
        (tmp_path / "editable").mkdir()
        (tmp_path / "editable" / "developed.py").touch()
        project.library("asker", "import developed\n")
        project.variables["PYTHONPATH"] += f":{tmp_path / 'editable'}"
        project.parts.update(imports="import asker")
        assert warmed(project, "developed", "asker") == set()


def test_sitecustomize_runs_before_libraries_are_imported(project):
    project.library("sitecustomize", "import sys\nsys.customized = True\n")
    project.library("asker", "import sys\nCUSTOMIZED = hasattr(sys, 'customized')\n")
    project.parts.update(imports="import asker", value="asker.CUSTOMIZED")
    assert warmed(project, "asker") == {"asker"}
    assert "True" in project.answer()


def test_a_library_that_asks_for_a_class_of_the_code(project):
    """As many do for the project's model of users. The class in the library is no patch."""
    project.library("asker", "import sys\nModel = sys.modules['__main__'].Model\n")
    project.parts.update(head="class Model: pass", imports="import asker", value="asker.Model is Model")
    assert warmed(project, "asker") == set()
    assert COLD not in project.said


def test_a_patched_library_that_stays_cold(project):
    """No library has seen the original, so there is a standby."""
    project.library("asker", "import sys\nsys.modules['__main__'].Model\ndef f(): return 'original'\n")
    project.library("taker", "from asker import f\nRESULT = f()\n")
    patch = "import asker\ndef patched(): return 'patched'\nasker.f = patched\nimport taker"
    project.parts.update(head="class Model: pass", imports=patch, value="taker.RESULT == 'patched'")
    assert warmed(project, "asker", "taker") == set()
    assert COLD not in project.said


def test_a_program_that_runs_as_a_module(project):
    """Python imports runpy for it when the standby goes, though the standby has imported it."""
    project.program = ["-m", "app"]
    assert warmed(project) == set()
    assert COLD not in project.said


class TestPatches:
    """The code changes what libraries import. Then there is no standby at all, and one line says why."""

    TARGET, TAKER = "def f(): return 'original'\n", "from target import f\nRESULT = f()\n"
    PATCH = "import target\ndef patched(): return 'patched'\ntarget.f = patched"

    @pytest.fixture
    def project(self, project):
        project.library("target", self.TARGET)
        project.library("taker", self.TAKER)
        return project

    def assert_cold(self, project, reason):
        project.start(**FAST)
        before = project.answer().rpartition("|")[0]
        project.wait_for(COLD)
        assert f"{COLD}{reason}" in project.said
        for _ in range(2):
            assert project.reload() == before
        assert project.said.count(COLD) == 1, project.said
        assert "a standby waits" not in project.said

    def test_own_code_patches_a_library(self, project):
        project.parts.update(
            head=self.PATCH, imports="import taker", value="(taker.RESULT, 'taker' in early)"
        )
        self.assert_cold(project, "the code replaces target.f")

    def test_a_patched_method(self, project):
        project.library("target", "class C:\n    def f(self): return 'original'\nf = C().f\n")
        head = "import target\ntarget.C.f = lambda self: 'patched'\ntarget.f = target.C().f"
        project.parts.update(head=head, imports="import taker", value="(taker.RESULT, 'taker' in early)")
        self.assert_cold(project, "the code replaces target.C.f")

    def test_a_patch_that_the_code_begins_to_make_replaces_the_worker(self, project):
        project.parts.update(imports="import taker", value="taker.RESULT")
        project.start(**FAST)
        assert project.restart(head=self.PATCH) == "patched"
        assert f"{COLD}the code replaces target.f" in project.said

    def test_an_own_import_hook(self, project):
        hook = "class Finder:\n    def find_spec(self, *_): return None\nsys.meta_path.insert(0, Finder())"
        project.parts.update(head=hook, imports="import taker", value="'taker' in early")
        self.assert_cold(project, "the code has its own import hook, __main__.Finder")

    @pytest.mark.parametrize("name", ["gevent", "eventlet"])
    def test_gevent_and_eventlet(self, project, name):
        project.library(name, "")
        project.parts.update(head=f"import {name}", imports="import taker", value="'taker' in early")
        self.assert_cold(project, f"{name} patches modules")

    @pytest.mark.parametrize("option", ["-v", "-Ximporttime", "-Werror::ImportWarning"])
    def test_options_that_show_imports(self, project, option):
        project.options.append(option)
        project.parts.update(imports="import taker", value="'taker' in early")
        names = {"-v": "-v", "-Ximporttime": "-X importtime", "-Werror::ImportWarning": "-W error"}
        self.assert_cold(project, f"Python runs with {names[option]}")


@pytest.mark.parametrize(
    "noise", ["print('noise')", "import warnings; warnings.warn('noise')", "import os; os.write(2, b'noise')"]
)
def test_a_library_that_prints_stays_cold(project, noise):
    project.library("noisy", noise)
    project.parts.update(imports="import noisy")
    assert warmed(project, "noisy") == set()


@pytest.mark.parametrize(
    "text",
    [
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
        "import signal; signal.signal(signal.SIGTERM, lambda *_: None)",
        "import sys; sys.path.insert(0, '/nowhere')",
        "import sys; sys.excepthook = lambda *_: None",
    ],
    ids=["thread", "signal", "path", "hook"],
)
def test_a_library_that_changes_the_process_stays_cold(project, text):
    project.library("changing", text)
    project.parts.update(imports="import changing")
    assert warmed(project, "changing") == set()


def test_a_library_that_is_upgraded_while_the_standby_waits(project):
    library = project.library("upgraded", "VERSION = 'old'\n")
    project.parts.update(imports="import harmless, upgraded", value="upgraded.VERSION")
    project.start(**FAST)
    project.wait_for_standby()
    library.write_text("VERSION = 'new'\n")
    assert project.reload() == "new"


def test_lazy_objects_are_not_evaluated(project):
    lazy = """
        class Lazy:
            def __getattribute__(self, name): raise SystemExit('evaluated')
        lazy = Lazy()
    """
    project.library("lazy", textwrap.dedent(lazy))
    project.parts.update(imports="import lazy")
    assert warmed(project, "lazy") == {"lazy"}


def test_a_library_that_ends_the_process_is_left_out(project):
    """A crash of the probe costs one more run, and not the standby."""
    crash = "import os, sys\nif not hasattr(sys.modules['__main__'], 'early'): os._exit(1)\n"
    project.library("crashing", crash)
    project.parts.update(imports="import crashing")
    assert warmed(project, "crashing") == set()
