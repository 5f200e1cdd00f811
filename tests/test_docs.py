"""The complete files in the documentation elaborate, and their expectations hold."""

import re
from pathlib import Path

import pytest

import netdsl
from netdsl.ir import verify

TEXT = (Path(__file__).parent.parent / "docs" / "language.md").read_text(encoding="utf-8")
FILES = re.findall(r"```net\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", FILES, ids=lambda text: re.search(r"^net (\w+)", text, re.MULTILINE)[1])
def test_file_of_the_language_page(text):
    verify(netdsl.loads(text).graph)


def test_the_page_has_files():
    assert len(FILES) >= 4
