"""The start of Python with every combination of switches: what may be loaded, and that failures are still seen."""

from __future__ import annotations

import itertools

import pytest

pytestmark = pytest.mark.packaging

SWITCHES = {
    "DEVPATCH_FAILFAST": "1",
    "DEVPATCH_THREADED": "4",
    "DEVPATCH_FAILSAFE": "1",
    "DEVPATCH_EXC_INFO": "1",
    "DEVPATCH_ON_ERROR": "package.module:callable",
    "DEVPATCH_ERROR_LOG": "errors.jsonl",
    "DEVPATCH_DISABLE": "1",
}
COMBINATIONS = [
    combination for size in range(len(SWITCHES) + 1) for combination in itertools.combinations(SWITCHES, size)
]
# What a combination may load that a bare interpreter does not have: the gate, and nothing else.
NOTHING, THE_GATE = frozenset(), frozenset({"devpatch"})
MAY_LOAD = {combination: THE_GATE if combination else NOTHING for combination in COMBINATIONS}

# Nothing is imported to find that out.
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
def test_the_words_of_a_command_change_nothing(environment, command):
    """`runserver` as an argument has the command line awaited, which costs nothing either."""
    bare = modules(environment)
    result = environment.run("-c", LIST_MODULES, command, DEVPATCH_FAILSAFE="1")
    assert frozenset(result.stdout.split()) - bare == THE_GATE


def test_a_program_that_fails_ends_as_always(environment):
    """With fail-safe the gate watches for a first start that fails; for other programs nothing changes."""
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
