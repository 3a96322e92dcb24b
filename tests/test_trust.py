"""What a user who trusts nobody would check: the built wheel, the start of Python, and two builds of one commit."""

from __future__ import annotations

import ast
import email
import hashlib
import json
import os
import re
import sys
import zipfile

import pytest
from installing import REPOSITORY, execute_checked

pytestmark = pytest.mark.packaging
LINE = b"import os; ' DEVPATCH_' in ' ' + ' '.join(os.environ) and __import__('devpatch').start()\n"
# What the gate may import: modules that every interpreter has loaded, and importlib when the gate opens.
MAY_IMPORT = {"os", "sys", "_imp", "_thread", "atexit", "importlib", "importlib.util", "collections.abc"}
MAY_IMPORT |= {"features.on_error.event"}  # for type checkers only
MAY_NOT_CALL = {"exec", "eval", "compile", "open", "__import__"}


@pytest.fixture(scope="module")
def wheel(toolbox):
    with zipfile.ZipFile(toolbox.artifact(".whl")) as archive:
        yield {name: archive.read(name) for name in archive.namelist()}


def test_the_start_up_file_of_the_wheel(wheel):
    """There is one, at the root. It is the repository's, byte for byte, and one line."""
    assert [name for name in wheel if name.endswith((".pth", ".start"))] == ["devpatch.pth"]
    assert wheel["devpatch.pth"] == (REPOSITORY / "devpatch.pth").read_bytes() == LINE


def test_the_wheel_has_only_readable_files(wheel):
    """No compiled code, and no text that hides another one."""
    for name, content in wheel.items():
        text = content.decode("utf-8")
        assert name.endswith((".py", ".pth", ".json", ".css", ".js", "py.typed")) or ".dist-info/" in name
        if not name.endswith("RECORD"):
            assert not re.search(r"[A-Za-z0-9+/=]{120,}", text), name


def test_the_gate_imports_and_calls_nothing_else(wheel):
    imported, called = set(), set()
    for node in ast.walk(ast.parse(wheel["devpatch/__init__.py"])):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called.add(node.func.id)
    assert imported <= MAY_IMPORT
    assert not called & MAY_NOT_CALL


# -S, so that the hook is there before the start-up file is read.
RECORD = """
import sys
events = []
sys.addaudithook(lambda name, arguments: events.append([name, [repr(a) for a in arguments][:3]]))
import site
site.main()
if SERVER:
    import wsgiref.simple_server
recorded = list(events)
import json
print(json.dumps([recorded, "devpatch" in sys.modules]))
"""
# Events of imports and of reading attributes, in addition to those that Python causes by itself.
HARMLESS = {
    "builtins.id",
    "code.__new__",
    "marshal.loads",
    "object.__getattr__",
    "object.__setattr__",
    "sys._getframe",
}


@pytest.mark.parametrize("server", [False, True])
def test_what_the_start_of_python_does(environment, server):
    """No socket, no process, no file that is written: neither at the start, nor when a server is imported."""
    code = RECORD.replace("SERVER", str(server))
    variables = {"DEVPATCH_FAILFAST": "1", "DEVPATCH_FAILSAFE": "1", "DEVPATCH_THREADED": "4"}
    result = environment.run("-S", "-B", "-c", code, **variables)
    assert (result.returncode, result.stderr) == (0, "")
    events, is_loaded = json.loads(result.stdout)
    assert is_loaded
    assert any(name == "import" and "devpatch" in arguments[0] for name, arguments in events)
    stock = json.loads(environment.run("-S", "-B", "-c", code).stdout)[0]
    unknown = (
        {name for name, _arguments in events} - HARMLESS - {"open"} - {name for name, _arguments in stock}
    )
    assert unknown == set()
    for name, (path, mode, flags) in [event for event in events if event[0] == "open"]:
        is_read = mode in ("'r'", "'rb'") or (mode == "None" and not int(flags) & (os.O_WRONLY | os.O_RDWR))
        assert is_read, (name, path, mode, flags)
    # Python itself executes the line of the file, and the modules that it imports. Nothing else compiles text.
    texts = [arguments[0] for name, arguments in events if name == "compile" and arguments[0] != "None"]
    assert all(
        "DEVPATCH_" in text or "__editable__" in text for text in texts if "devpatch" in text.lower()
    ), texts


def test_two_builds_of_one_commit_are_identical(toolbox, tmp_path, monkeypatch):
    """The copies have different folders and times of files."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    digests = []
    for number in (1, 2):
        sources, out = toolbox.sources(), tmp_path / str(number)
        for path in sources.rglob("*.py"):
            os.utime(path, (number * 10_000_000, number * 10_000_000))
        toolbox.build(sources, out)
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()})
    assert len(digests[0]) == 2
    assert digests[0] == digests[1]


def test_a_release_has_the_addresses_of_its_repository(toolbox, tmp_path):
    """A package index shows the README alone, so each of its links and pictures is absolute there."""
    sources, url = toolbox.sources(), "https://github.com/someone/devpatch"
    execute_checked(sys.executable, ".github/public_addresses.py", url, "v0.1.0", cwd=sources)
    toolbox.build(sources, tmp_path)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = email.message_from_bytes(archive.read(name))
    addresses = dict(address.split(", ") for address in metadata.get_all("Project-URL"))
    assert addresses.keys() == {"Source", "Documentation", "Changelog", "Issues", "Security"}
    links = re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", metadata.get_payload())
    linked = ["".join(pair) for pair in links]
    assert len(linked) > 10
    for address in [*addresses.values(), *linked]:
        assert address.startswith(url), address
    for address in linked:
        assert (REPOSITORY / address.split("/v0.1.0/")[1].partition("#")[0]).is_file(), address
