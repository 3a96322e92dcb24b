"""The ledger with the real frameworks: each patch fits, is made once, and can be undone completely."""

from __future__ import annotations

import json

import pytest
from harness import python

# Runs in its own process, because the patches change the frameworks that a process has imported.
SCRIPT = """
import importlib, json, sys
from devpatch import assembly
from devpatch.patching import Connect, Lacks, Outcome, Register, Replace, Wrap, dry_run, ledger

def state(patch):
    parent, name, value = patch.look_up(sys.modules[patch.target])
    if isinstance(patch, Connect):
        return len(value.receivers)
    if isinstance(patch, Register):
        return len(patch.into)
    return (id(vars(parent).get(name)), name in vars(parent), type(value).__name__)

patches = dict.fromkeys(p for row in assembly.servers() for p in assembly.patches_for(row.name))
assembly.prepare_checks()
available = [p for p in patches if importlib.util.find_spec(p.target.partition(".")[0]) and not isinstance(p, Lacks)]
found = {"titles": [p.title for p in available], "unfit": [r for p in available if (r := dry_run(p))]}
fit = [p for p in available if not dry_run(p)]
before = [state(p) for p in fit]
for p in fit:
    ledger.apply_when_imported(p)
found["applied"] = all(ledger.outcomes[p] is Outcome.APPLIED for p in fit)
once = [state(p) for p in fit]
kinds = (Wrap, Replace, Connect, Register)
found["changed"] = all(a != b for p, a, b in zip(fit, before, once) if isinstance(p, kinds))
for p in fit:
    ledger.apply_when_imported(p)
    if isinstance(p, Wrap):
        ledger.apply(p, sys.modules[p.target])
found["once"] = once == [state(p) for p in fit]
ledger.restore()
found["restored"] = [p.title for p, a in zip(fit, before) if state(p) != a]
found["outcomes"] = sorted({o.value for o in ledger.outcomes.values()})
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    result = python("-c", SCRIPT)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_every_patch_fits_the_installed_frameworks(found):
    assert found["unfit"] == []
    assert "wsgiref.handlers.BaseHandler.run" in found["titles"]


def test_every_patch_is_made_once(found):
    assert found["applied"]
    assert found["changed"]
    assert found["once"]


def test_every_patch_is_undone(found):
    assert found["restored"] == []
    assert found["outcomes"] == ["restored"]


LATE = """
import sys, types
from devpatch.patching import Capability, Outcome, Wrap, ledger
sys.path.insert(0, {folder!r})
patch = Wrap("late_module", "gone", Capability.ERRORS, lambda w, i, a, k: w(*a, **k))
ledger.apply_when_imported(patch)
assert ledger.outcomes[patch] is Outcome.PENDING
import late_module
print(late_module.there, ledger.outcomes[patch].value, ledger.reasons[patch])
"""


def test_an_import_succeeds_although_its_patch_does_not_fit(tmp_path):
    (tmp_path / "late_module.py").write_text("there = 1\n")
    result = python("-c", LATE.format(folder=str(tmp_path)))
    assert result.stdout.startswith("1 failed late_module.gone is not there"), result.stderr


def test_the_tables_of_server_modules_agree():
    """The tables of the gate, the table for a missing wrapt, and the patches of the integrations."""
    from devpatch import APPLICATION_MODULES, COMMAND_LINE_MODULES, SERVER_MODULES, assembly, refusals
    from devpatch.patching import Capability, Decorate, Register

    patches = assembly.entry_patches()
    starts = {(p.target, p.path) for p in patches if p.provides is Capability.START}
    starts -= {("werkzeug.serving", "make_server")}
    assert starts == {(module, path) for module, paths in refusals.ENTRIES.items() for path in paths}
    # A Register only records that a framework is imported. The gate does not wait for it.
    targets = {p.target for p in patches if not isinstance(p, Register)}
    assert targets == SERVER_MODULES | COMMAND_LINE_MODULES
    applications = assembly.application_patches()
    assert {p.target for p in applications if isinstance(p, Decorate)} == APPLICATION_MODULES
