"""DEVPATCH_ERROR_LOG: every exception, however unusual, becomes one valid line."""

from __future__ import annotations

import builtins
import os
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reporting import valid

from devpatch.features.error_log.feature import ErrorLog, masked
from devpatch.lifecycle import failures

MAX_LINE_BYTES = 2_000_000


class StrRaises(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


class StrExits(Exception):
    def __str__(self):
        sys.exit("gone")


class StrReturnsNumber(Exception):
    def __str__(self):
        return 5


class Hostile(Exception):
    """Raises when an attribute is read that Python itself does not read."""

    def __getattribute__(self, name):
        if name in ("__notes__", "exceptions", "msg", "filename"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class HostileType(type):
    def __getattribute__(cls, name):
        if name in ("__module__", "__qualname__", "__name__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class NameRaises(Exception, metaclass=HostileType):
    pass


TEXTS = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(categories=["Cs", "Cc", "Co"])),
    st.just("é\n\x00\ud800 </script>"),
)
# Chosen by number, because hypothesis would read the name of a class.
TYPES = [
    ValueError,
    KeyError,
    OSError,
    StrRaises,
    StrExits,
    StrReturnsNumber,
    Hostile,
    NameRaises,
    SystemExit,
]
KINDS = st.integers(0, len(TYPES) - 1)
LONG = st.integers(1, 10_000_000).map(lambda length: "long " * (length // 5))


def syntax_error(values):
    error = SyntaxError(values[0])
    error.filename, error.lineno, error.offset, error.text, error.end_lineno, error.end_offset = values[1:]
    return error


def build(kind, text):
    return TYPES[kind](text)


def group(parts):
    return builtins.ExceptionGroup(
        "group", [part for part in parts if isinstance(part, Exception)] or [ValueError()]
    )


SINGLE = st.one_of(
    st.builds(build, KINDS, TEXTS),
    st.builds(
        syntax_error,
        st.tuples(*[st.one_of(st.none(), st.integers(-5, 5), TEXTS) for _ in range(7)]),
    ),
)
if sys.version_info >= (3, 11):
    SINGLE = st.recursive(SINGLE, lambda parts: st.builds(group, st.lists(parts, max_size=4)), max_leaves=8)


def raised(error, depth):
    """Return ``error`` with a traceback of ``depth`` frames."""

    def call(remaining):
        if remaining:
            call(remaining - 1)
        raise error

    try:
        call(depth)
    except BaseException as caught:
        return caught


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Return a function that logs an error to a real file and returns the parsed line."""
    path = tmp_path_factory.mktemp("log") / "errors.jsonl"
    before = os.environ.get("DEVPATCH_ERROR_LOG")
    os.environ["DEVPATCH_ERROR_LOG"] = str(path)
    feature = ErrorLog()

    def line_of(error):
        path.write_text("")
        feature.load_failed(error)
        text = path.read_bytes()
        assert text.endswith(b"\n")
        assert text.count(b"\n") == 1
        assert len(text) < MAX_LINE_BYTES
        return valid(text.decode("utf-8"))

    yield line_of
    if before is None:
        del os.environ["DEVPATCH_ERROR_LOG"]
    else:
        os.environ["DEVPATCH_ERROR_LOG"] = before


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(SINGLE, min_size=1, max_size=5), st.integers(0, 300), st.lists(st.integers(0, 4), max_size=6))
def test_every_exception_becomes_one_line(log, errors, depth, links):
    """Exceptions of many kinds. Their causes and contexts may form cycles."""
    errors = [raised(error, depth) for error in errors]
    for number, link in enumerate(links):
        error, other = errors[number % len(errors)], errors[link % len(errors)]
        if number % 2:
            error.__cause__ = other
        else:
            error.__context__ = other
    # The log has a fallback for an exception that can't be described. Here it is not needed.
    failures.chain(errors[0])
    line = log(errors[0])
    assert line["exception"]["type"]
    assert len(line["exception"]["frames"]) + line["exception"]["frames_left_out"] >= depth


@settings(deadline=None, max_examples=5)
@given(LONG)
def test_a_long_message(log, text):
    line = log(raised(ValueError(text), 1))
    assert line["exception"]["message"][:100] == text[:100]


def test_a_recursion(log):
    def recurse():
        recurse()

    try:
        recurse()
    except RecursionError as error:
        line = log(error)
    assert line["exception"]["type"] == "RecursionError"
    assert line["exception"]["frames_left_out"] > 500


def test_a_long_chain_is_shortened_and_says_by_how_much(log):
    error = ValueError("first")
    for number in range(50):
        following = ValueError(number)
        following.__cause__ = error
        error = following
    line = log(error)
    assert line["exception"]["message"] == "49"
    assert [cause["message"] for cause in line["causes"][:2]] == ["48", "47"]
    assert len(line["causes"]) + line["causes"][-1]["earlier_left_out"] == 50


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="&;=#?")), st.text(max_size=20))
def test_values_are_masked(name, value):
    value = value.replace("&", "").replace(";", "")
    assert masked(f"http://x/path?{name}={value}&other") == (
        f"http://x/path?{name}=***&other" if "#" not in value else f"http://x/path?{name}=***"
    )
    assert masked("http://x/path") == "http://x/path"
