"""The start of Python with every combination of switches: which modules it loads, and how programs end."""

from __future__ import annotations

import itertools

import pytest

pytestmark = pytest.mark.packaging

SWITCHES = {
    "DEVPATCH_FAILFAST": "1",
    "DEVPATCH_THREADED": "4",
    "DEVPATCH_FAILSAFE": "1",
    "DEVPATCH_FASTRELOAD": "1",
    "DEVPATCH_EXC_INFO": "1",
    "DEVPATCH_ON_ERROR": "package.module:callable",
    "DEVPATCH_ERROR_LOG": "errors.jsonl",
    "DEVPATCH_SUMMARY": "1",
    "DEVPATCH_DISABLE": "1",
}
COMBINATIONS = [
    combination for size in range(len(SWITCHES) + 1) for combination in itertools.combinations(SWITCHES, size)
]
# The modules that a combination may load in addition to those of a bare interpreter: only the gate.
NOTHING, THE_GATE = frozenset(), frozenset({"devpatch"})
MAY_LOAD = {combination: THE_GATE if combination else NOTHING for combination in COMBINATIONS}

# This imports nothing itself.
LIST_MODULES = "import sys; print(*sorted(sys.modules))"


def modules(environment, **variables):
    result = environment.run("-c", LIST_MODULES, **variables)
    assert (result.returncode, result.stderr) == (0, "")
    return frozenset(result.stdout.split())


def test_no_combination_loads_more_than_it_may(environment):
    bare = modules(environment)
    loaded = {
        combination: modules(environment, **{name: SWITCHES[name] for name in combination}) - bare
        for combination in COMBINATIONS
    }
    assert loaded == MAY_LOAD


@pytest.mark.parametrize("command", ["runserver", "migrate"])
def test_the_arguments_of_a_command_load_nothing(environment, command):
    """With `runserver` as an argument the gate also waits for modules of the command line."""
    bare = modules(environment)
    result = environment.run("-c", LIST_MODULES, command, DEVPATCH_FAILSAFE="1")
    assert frozenset(result.stdout.split()) - bare == THE_GATE


def test_a_program_that_fails_ends_as_without_devpatch(environment):
    """With fail-safe the gate watches for a failed first start. Nothing changes for other programs."""
    for program in (
        "1/0",
        "import sys; sys.exit(3)",
        "import json; raise ValueError('of the program')",
        "def (",
    ):
        stock, watched = (
            environment.run("-c", program, **variables) for variables in ({}, {"DEVPATCH_FAILSAFE": "1"})
        )
        assert (watched.returncode, watched.stdout, watched.stderr) == (
            stock.returncode,
            stock.stdout,
            stock.stderr,
        )
