"""Check the prose of the README and the documentation: ``python tests/check_prose.py``. The lint session runs it.

proselint knows the usual mistakes, and ``HOUSE_RULES`` those that were made here. Neither sees code blocks, code spans
or comments of HTML: the lines stay, so that a message names the right one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
# Straight quotes are those of Markdown, waitress is a server, and a placeholder for code may be repeated.
PROSELINT = {"checks": {"typography": False, "social_awareness.sexism": False, "lexical_illusions": False}}

# A pattern of words, and what to write instead.
HOUSE_RULES = {
    r"at once": '"concurrently" or "immediately": "at once" can mean both',
    r"anew": '"again"',
    r"(does|do) not make it none": "say what it is",
    r"is none( either)?(?=[.,;:]|$)": '"is not one" or "there is none"',
    r"notices? the mend|the mend|mends|mended": '"fix", "repair" or "the next change"',
    r"becomes the same command": '"runs the same command again"',
    r"times as (good|fast|many)": '"three times faster", or the figures',
    r"utili[sz]e[sd]?|leverag(e|es|ing)|seamless(ly)?|blazing(ly)?|effortless(ly)?": "a plain word, or nothing",
    r"simply|obviously|of course|please note": "nothing",
    r"in order to": '"to"',
    r"can not": '"cannot" or "can\'t"',
    r"(?<=[a-z]) ,": "no space before a comma",
}
_MAX_SENTENCE = 45  # words
_NOT_PROSE = re.compile(r"```.*?```|<!--.*?-->|``.+?``|`[^`\n]*`|\]\([^)]*\)|<[^>\n]+>", re.DOTALL)


def prose_of(text: str) -> str:
    """Return ``text`` without what is not prose. The number of lines stays the same."""
    return _NOT_PROSE.sub(lambda found: "X" + "\n" * found.group().count("\n"), text)


def house_findings(text: str) -> list[tuple[int, str]]:
    """Return the number of the line and a message for each violation of ``HOUSE_RULES`` in the prose of a page."""
    prose = prose_of(text)
    found = []
    for pattern, advice in HOUSE_RULES.items():
        words = pattern.replace(" ", r"\s+")
        for match in re.finditer(rf"(?<!\w){words}(?!\w)", prose, re.IGNORECASE | re.MULTILINE):
            found.append((prose.count("\n", 0, match.start()) + 1, f"{match.group()!r}: write {advice}"))
    return sorted([*found, *_long_sentences(prose)])


def _long_sentences(prose: str) -> list[tuple[int, str]]:
    """Return each sentence of a paragraph or a list that is longer than anyone reads in one go."""
    found, position = [], 0
    for part in re.split(r"((?<=[.!?:;|])\s|\n\s*\n|\n\s*[-|#>])", prose):
        words = re.findall(r"\w[\w'-]*", part)
        if len(words) > _MAX_SENTENCE:
            line = prose.count("\n", 0, position) + 1
            found.append((line, f"a sentence of {len(words)} words: split it"))
        position += len(part)
    return found


def pages() -> list[Path]:
    """Return the README and every other page for people."""
    front = [REPOSITORY / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md")]
    return [*front, *sorted((REPOSITORY / "docs").rglob("*.md"))]


def main() -> int:
    """Print each finding. Return 1 if there are any."""
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for page in pages():
            name, text = page.relative_to(REPOSITORY), page.read_text(encoding="utf-8")
            for line, message in house_findings(text):
                found += 1
                print(f"{name}:{line}: {message}")
            copy = Path(folder, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(prose_of(text), encoding="utf-8")
        Path(folder, ".proselintrc.json").write_text(json.dumps(PROSELINT))
        command = [sys.executable, "-m", "proselint", "check", "."]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        print(result.stdout.replace(f"{folder}/", "") + result.stderr, end="")
    return int(bool(found or result.returncode))


if __name__ == "__main__":
    sys.exit(main())
