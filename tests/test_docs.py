"""The complete files in the documentation elaborate, and their expectations hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import netdsl
from netdsl.ir import verify

TEXT = (Path(__file__).parent.parent / "docs" / "language.md").read_text(encoding="utf-8")
FILES = re.findall(r"```net\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("text", FILES, ids=lambda text: re.search(r"^net (\w+)", text, re.MULTILINE)[1])  # type: ignore[index]
def test_file_of_the_language_page(text: str) -> None:
    verify(netdsl.loads(text).graph)


def test_the_page_has_files() -> None:
    assert len(FILES) >= 4
