"""Which queries differ in their values only, and how a query is shown.

sqlparse reads the SQL. Django depends on it. Where it is not installed, a regular expression finds the values.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

_MAX_READ = 4000  # characters of a query that are read
_MAX_SHOWN = 120  # characters
_TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")

# Read from the left to the right, because a string may contain what looks like a comment, and the reverse.
_TOKENS = re.compile(
    r"""(?P<comment>--[^\n]*|/\*.*?(?:\*/|$))
    | (?P<name>"[^"]*"|`[^`]*`)
    | '(?:[^'\\]|''|\\.)*(?:'|$)  # a string, which may be cut off
    | %\(\w+\)s | %s | \$\d+ | (?<![:\w]):\w+  # placeholders of the drivers
    | (?<![\w.])\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)""",
    re.VERBOSE | re.DOTALL,
)
_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)(?:\s*,\s*\(\s*\?(?:\s*,\s*\?)*\s*\))*")
_COLUMNS = re.compile(r"(SELECT(?: DISTINCT)?) ((?:[^()]|\([^()]*\))+?) FROM ", re.IGNORECASE)
_QUOTED = re.compile(r'["`\[]([A-Za-z_][\w$]*)["`\]]')
_TABLE = re.compile(r"\b(?:FROM|UPDATE|INTO) ([\w.]+)", re.IGNORECASE)


@lru_cache(maxsize=2000)
def _normalized(sql: str) -> str:
    try:
        text = _with_sqlparse()(sql)
    except ImportError:
        text = _TOKENS.sub(lambda found: found["name"] or (" " if found["comment"] else "?"), sql)
    return _LIST.sub("(?)", " ".join(text.split()))


@lru_cache(maxsize=1)
def _with_sqlparse() -> Callable[[str], str]:
    """Return a function that replaces the values of a query by question marks. Raises ImportError."""
    from sqlparse import tokens
    from sqlparse.lexer import tokenize

    def replace(sql: str) -> str:
        parts = []
        for kind, text in tokenize(sql):  # type: ignore[no-untyped-call,unused-ignore]
            if kind in tokens.Comment:
                parts.append(" ")
            elif kind in tokens.Name.Placeholder or (
                kind in tokens.Literal and kind is not tokens.String.Symbol
            ):
                parts.append("?")
            elif kind is tokens.Error and text in "'\"":
                parts.append("?")  # A string that was cut off. The rest of the text may be a value.
                break
            else:
                parts.append(text)
        return "".join(parts)

    return replace


def alike(sql: str) -> str:
    """Return ``sql`` with a question mark for each value. Queries that differ in their values only have one text."""
    return _normalized(sql if len(sql) <= _MAX_READ else sql[:_MAX_READ])


def controls_transaction(sql: str) -> bool:
    """Whether ``sql`` begins or ends a transaction, and reads nothing."""
    return sql.lstrip()[:10].upper().startswith(_TRANSACTION)


@lru_cache(maxsize=500)
def shortened(sql: str) -> str:
    """Return a text of ``alike`` for people, such as "SELECT … FROM orders_item WHERE id = ?"."""
    text = _COLUMNS.sub(r"\1 … FROM ", _QUOTED.sub(r"\1", sql), count=1)
    table = _TABLE.search(text)
    if table is not None and " JOIN " not in text.upper():
        text = text.replace(f"{table[1]}.", "")
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
