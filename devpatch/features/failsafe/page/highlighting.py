"""Highlight lines of Python source with Pygments, if it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def highlighted(lines: Sequence[str], file: str) -> list[str]:
    """Return the lines as HTML. They are only escaped if Pygments is missing, or ``file`` is not Python source."""
    plain = [escape(line) for line in lines]
    if not file.endswith((".py", ".pyi")):
        return plain
    try:
        from pygments import formatters, highlight, lexers  # type: ignore[import-untyped,unused-ignore]

        lexer = lexers.PythonLexer(stripnl=False, ensurenl=False)
        markup = highlight("\n".join(lines), lexer, formatters.HtmlFormatter(nowrap=True))
    except Exception:  # It is not installed, or does not know the syntax.
        return plain
    found: list[str] = markup.split("\n")[: len(lines)]
    return found if len(found) == len(lines) else plain
