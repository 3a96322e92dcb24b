"""The checker of prose finds what it must not let pass, and says where."""

from __future__ import annotations

import pytest
from check_prose import house_findings, pages, prose_of

BANNED = [
    "Requests run at once.",
    "One line does not make it none.",
    "This one is none either.",
    "It notices the mend.",
    "It becomes the same command anew.",
    "It is 8 times as good.",
    "They run at\nonce.",
    "We " + "very " * 46 + "often write so.",
]


@pytest.mark.parametrize("sentence", BANNED)
def test_a_banned_phrase_is_found_in_its_line(sentence):
    page = f"# Title\n\n```sh\nrun at once\n```\n\n{sentence}\n"
    assert {line for line, _message in house_findings(page)} == {7}


def test_code_is_not_prose():
    page = "Use `at once`, [here](at once).\n<!-- at once -->\n```\nat once\n```\n"
    assert house_findings(page) == []
    assert prose_of(page).count("\n") == page.count("\n")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_no_page_has_a_banned_phrase(page):
    assert house_findings(page.read_text(encoding="utf-8")) == []
