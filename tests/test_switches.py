"""Reading the switches: any text at all gives a value or one problem, and never an exception."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpatch import switches

NAMES = st.sampled_from([switch.name for switch in switches.SWITCHES])


@given(st.dictionaries(NAMES, st.text()))
def test_any_text(environ):
    settings = switches.read(environ)
    for name, reading in settings.readings.items():
        assert (reading.problem is None) or name in reading.problem
        assert reading.problem is None or "\n" not in reading.problem
        if not environ.get(name, "").strip():
            assert reading.value == (reading.implied_by is not None or reading.switch.default)
            assert reading.problem is None


@given(st.integers())
def test_exit_codes(number):
    reading = switches.read({"DEVPATCH_FAILFAST_EXIT_CODE": str(number)}).readings[
        "DEVPATCH_FAILFAST_EXIT_CODE"
    ]
    if 1 <= number <= 255 and number != 3:
        assert (reading.value, reading.problem) == (number, None)
    else:
        assert reading.value == 1
        assert reading.problem


@given(st.integers())
def test_concurrency(number):
    reading = switches.read({"DEVPATCH_THREADED": str(number)}).readings["DEVPATCH_THREADED"]
    expected = {0: switches.ONE_AT_A_TIME, 1: switches.CONCURRENT}.get(number, number)
    if 0 <= number <= 1024:
        assert (reading.value, reading.problem) == (expected, None)
    else:
        assert reading.value is None
        assert reading.problem


@given(
    st.sampled_from(["1", "true", "yes", "on"]), st.sampled_from(["0", "false", "no", "off"]), st.booleans()
)
def test_booleans(true, false, upper):
    for text, value in ((true, True), (false, False)):
        shown = text.upper() if upper else text
        assert switches.read({"DEVPATCH_FAILFAST": f" {shown} "})[switches.FAILFAST] is value


@pytest.mark.parametrize("text", ["1", "ON", "events", "Events"])
def test_fast_reload_turns_fail_safe_on(text):
    settings = switches.read({"DEVPATCH_FASTRELOAD": text})
    assert settings[switches.FASTRELOAD] in (True, switches.EVENTS)
    assert settings[switches.FAILSAFE] is True
    assert settings.readings["DEVPATCH_FAILSAFE"].implied_by is switches.FASTRELOAD
    assert not settings.problems


def test_fast_reload_without_fail_safe_is_a_contradiction():
    settings = switches.read({"DEVPATCH_FASTRELOAD": "1", "DEVPATCH_FAILSAFE": "0"})
    assert settings.problems == [
        "DEVPATCH_FASTRELOAD='1' needs DEVPATCH_FAILSAFE, which is set to '0': unset one of them"
    ]
    assert not switches.read({"DEVPATCH_FASTRELOAD": "0", "DEVPATCH_FAILSAFE": "0"}).problems
    assert switches.read({"DEVPATCH_FASTRELOAD": "0"})[switches.FAILSAFE] is False


@given(st.text())
def test_unknown_names(name):
    full = "DEVPATCH_" + name
    settings = switches.read({full: "1"})
    known = full in settings.readings
    assert settings.unknown == (() if known else (full,))
    assert switches.nearest(full) is None or switches.nearest(full) in settings.readings


def test_the_nearest_name():
    assert switches.nearest("DEVPATCH_FALFAST") == "DEVPATCH_FAILFAST"
    assert switches.nearest("DEVPATCH_FAILFAST_EXITCODE") == "DEVPATCH_FAILFAST_EXIT_CODE"
    assert switches.nearest("DEVPATCH_Q") is None


def markdown() -> str:
    """Return the table of switches of the reference."""
    rows = ["| variable | values | unset | what it does |", "| --- | --- | --- | --- |"]
    for switch in switches.SWITCHES:
        default = (
            "off"
            if switch.default in (False, ())
            else "as the server does"
            if switch.default is None
            else str(switch.default)
        )
        rows.append(f"| `{switch.name}` | {switch.allowed} | {default} | {switch.help} |")
    return "\n".join(rows)


@pytest.mark.parametrize("switch", switches.SWITCHES, ids=lambda switch: switch.name)
def test_the_readme_has_a_row(switch):
    """The row has a value that is valid, and a link to the page of the switch."""
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    page = f"docs/switches/{switch.flag[2:]}.md"
    ((value, link),) = re.findall(rf"^\| \[`{switch.name}=(.+)`\]\((.+?)\) \| \S", readme, re.MULTILINE)
    assert link == page
    assert switches.read({switch.name: value}).problems == []
