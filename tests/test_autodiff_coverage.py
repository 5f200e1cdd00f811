"""docs/gradients.md, and that it says something of every operator."""

from __future__ import annotations

from pathlib import Path

from netdsl.autodiff import rules
from netdsl.autodiff.coverage import EXPANDED, WITHOUT, computing_floats, document
from netdsl.autodiff.rule import STOPS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gradients.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == document(), "write it anew: python -m netdsl.autodiff.coverage > docs/gradients.md"


def test_every_operator_that_computes_numbers_is_in_one_list() -> None:
    lists = [set(rules()), set(EXPANDED), set(STOPS), set(WITHOUT)]
    assert sum(map(len, lists)) == len(set().union(*lists))
    assert set(computing_floats()) <= set().union(*lists)
