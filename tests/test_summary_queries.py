"""Which queries are alike, and the texts of the summary, for any SQL."""

from __future__ import annotations

import builtins
import mmap
import threading
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devpatch.features.summary import queries
from devpatch.features.summary.body import ResponseCopy
from devpatch.features.summary.line import duration
from devpatch.features.summary.memory import reader
from devpatch.features.summary.places import own_line


@pytest.fixture(params=["sqlparse", "without sqlparse"], autouse=True, scope="module")
def parser(request):
    """Each test runs with sqlparse, and with a Python that can't import it."""
    patch = pytest.MonkeyPatch()
    if request.param == "sqlparse":
        pytest.importorskip("sqlparse")
    else:
        real = builtins.__import__

        def without(name, *rest, **named):
            if name.partition(".")[0] == "sqlparse":
                raise ImportError(name)
            return real(name, *rest, **named)

        patch.setattr(builtins, "__import__", without)
    for function in (queries._with_sqlparse, queries._normalized):
        function.cache_clear()
    yield request.param
    patch.undo()
    for function in (queries._with_sqlparse, queries._normalized):
        function.cache_clear()


VALUES = st.one_of(
    st.integers(0, 10**12).map(str),
    st.floats(0, 1e6, allow_nan=False).map(lambda number: f"{number:.3f}"),
    st.text(st.characters(exclude_characters="\\\x00", exclude_categories=["Cs"]), max_size=30).map(
        lambda text: "'" + text.replace("'", "''") + "'"
    ),
    st.sampled_from(["%s", "?", ":name", "%(name)s", "$1"]),
)


@given(VALUES, VALUES)
def test_queries_that_differ_in_their_values_are_alike(one, other):
    sql = 'SELECT "a"."id" FROM "a" WHERE "a"."x" = {} AND y2 = {}'
    assert queries.alike(sql.format(one, other)) == queries.alike(sql.format(other, one))
    assert queries.alike(sql.format(one, other)) == 'SELECT "a"."id" FROM "a" WHERE "a"."x" = ? AND y2 = ?'


@given(st.lists(VALUES, min_size=1, max_size=20))
@example(["'--'"])
@example(["'/*'", "2"])
def test_lists_of_any_length_are_alike(values):
    listed = ", ".join(values)
    assert queries.alike(f"SELECT 1 FROM a WHERE id IN ({listed})") == "SELECT ? FROM a WHERE id IN (?)"
    rows = ", ".join([f"({listed})"] * 3)
    assert queries.alike(f"INSERT INTO a (x) VALUES {rows}") == "INSERT INTO a (x) VALUES (?)"


@pytest.mark.parametrize(
    "one,other",
    [
        ("SELECT a FROM t WHERE id = 1", "SELECT b FROM t WHERE id = 1"),
        ("SELECT a FROM t1", "SELECT a FROM t2"),
        ("SELECT a FROM t WHERE x = 1", "SELECT a FROM t WHERE x > 1"),
        ('SELECT "a" FROM t', 'SELECT "b" FROM t'),
    ],
)
def test_other_queries_are_not_alike(one, other):
    assert queries.alike(one) != queries.alike(other)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a /* the secret */ FROM t -- the secret\nWHERE x = 'the secret'",
        "SELECT a FROM t WHERE x = '" + "the secret " * 1000 + "'",
        "SELECT a FROM t WHERE x = 'it''s the secret'",
        "SELECT a FROM t WHERE x = '--' AND y = 'the secret'",
        "SELECT a /* it's */ FROM t WHERE x = 'the secret'",
        "INSERT INTO t VALUES ('the secret', 2), ('the secret', 3)",
    ],
)
def test_no_value_is_left(sql):
    assert "secret" not in queries.alike(sql)


@given(st.text(max_size=300))
def test_any_text(sql):
    text = queries.alike(sql)
    assert "\n" not in text
    assert len(queries.shortened(text)) <= 120
    queries.controls_transaction(sql)


@pytest.mark.parametrize(
    "sql,shown",
    [
        (
            'SELECT "orders_item"."id", "orders_item"."name" FROM "orders_item" WHERE "orders_item"."id" = %s',
            "SELECT … FROM orders_item WHERE id = ?",
        ),
        ("SELECT COUNT(*) AS `n` FROM `a` LIMIT 21", "SELECT … FROM a LIMIT ?"),
        (
            "SELECT DISTINCT a.x FROM a INNER JOIN b ON (a.id = b.a_id) WHERE b.id = 3",
            "SELECT DISTINCT … FROM a INNER JOIN b ON (a.id = b.a_id) WHERE b.id = ?",
        ),
        ('UPDATE "a" SET "x" = %s WHERE "a"."id" = %s', "UPDATE a SET x = ? WHERE id = ?"),
        ('DELETE FROM "a" WHERE "a"."id" IN (%s, %s)', "DELETE FROM a WHERE id IN (?)"),
    ],
)
def test_what_people_see(sql, shown):
    assert queries.shortened(queries.alike(sql)) == shown


def test_many_long_queries_take_no_time():
    """The text of a query is read to a limit, and once."""
    sql = "INSERT INTO t VALUES " + ", ".join(["(1, 'x')"] * 200_000)
    assert len(queries.alike(sql)) <= 4000


def test_durations():
    assert [duration(seconds) for seconds in (0.00004, 0.0004, 0.0421, 1.24, 12.3)] == [
        "<0.1 ms",
        "0.4 ms",
        "42 ms",
        "1240 ms",
        "12.3 s",
    ]


def through_calls(function=own_line, depth=2):
    """Call ``function`` as a framework does: by way of the integration and the record."""
    return through_calls(function, depth - 1) if depth else function()


def test_code_of_packages_is_left_out():
    """threading is of the standard library, so its lines are not those of the user."""
    found = []
    thread = threading.Timer(0, lambda: found.append(through_calls()))
    thread.start()
    thread.join()
    assert found[0].file == __file__
    source = Path(__file__).read_text().splitlines()[found[0].line - 1]
    assert "through_calls" in source


def test_memory_is_read():
    read = reader()
    before = read()
    # Not bytes: the memory of freed bytes may be used again.
    with mmap.mmap(-1, 30_000_000) as kept:
        for _ in range(30):
            kept.write(b"x" * 1_000_000)
        assert before > 1_000_000
        assert read() - before > 20_000_000


def test_a_copied_response_is_written_as_before():
    class Writer:
        def __init__(self):
            self.written = b""

        def write(self, data):
            self.written += data
            return len(data)

    writer = Writer()
    copy = ResponseCopy(writer)
    for data in (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n",
        b"\r\n",
        b'{"a":',
        memoryview(b" 1}"),
    ):
        assert writer.write(data) == len(data)
    copy.close()
    writer.write(b"more")
    assert writer.written.endswith(b'\r\n\r\n{"a": 1}more')
    assert copy.json() == '{"a": 1}'
    assert vars(writer).keys() == {"written"}
