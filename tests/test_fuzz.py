"""A short fuzz run, and what longer ones (`benchmarks/fuzz.py`) have found: refused with diagnostics, or understood."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz_checks import check, lay_out
from tests.fuzz_strategies import CALLS, GRAMMATICAL, MUTATED, WELL_FORMED
from tests.fuzz_texts import SEEDS

_short = settings(max_examples=50, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _beside_files_to_import(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("beside")
    lay_out(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@pytest.mark.parametrize("path", sorted(SEEDS.glob("*.net")), ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path: Path) -> None:
    check(path.read_bytes(), thorough=True)


@_short
@given(MUTATED)
def test_changed_files_are_refused_or_understood(text: str) -> None:
    check(text.encode(errors="replace"))


@_short
@given(GRAMMATICAL)
def test_files_by_the_grammar_are_refused_or_understood(text: str) -> None:
    check(text.encode())


@settings(_short, max_examples=150)
@given(CALLS)
def test_calls_of_whatever_are_refused_or_understood(text: str) -> None:
    check(text.encode(), thorough=True)


@_short
@given(WELL_FORMED)
def test_well_formed_nets_are_understood(text: str) -> None:
    assert check(text.encode(), thorough=True) in ("checked", "compiled")
