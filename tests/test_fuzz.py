"""A short fuzz run, and what longer ones (`benchmarks/fuzz.py`) have found: refused with diagnostics, or understood."""


import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz_checks import check, lay_out
from tests.fuzz_strategies import CALLS, GRAMMATICAL, MUTATED, WELL_FORMED
from tests.fuzz_texts import ROOT, SEEDS

_short = settings(max_examples=50, deadline=None, derandomize=True, database=None,
                  suppress_health_check=list(HealthCheck))  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def _beside_files_to_import(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beside")
    lay_out(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@pytest.mark.parametrize("path", sorted(SEEDS.glob("*.net")), ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path):
    check(path.read_bytes(), thorough=True)


@settings(_short, max_examples=400)
@given(MUTATED)
def test_changed_files_are_refused_or_understood(text):
    check(text.encode(errors="replace"))


@_short
@given(st.text(max_size=60))
def test_any_text_is_refused_or_understood(text):
    check(text.encode(errors="replace"))
    check(f"net f : x[3] -> y {{\n{text}\ny = x\n}}\n".encode(errors="replace"))


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.net")), ids=lambda path: path.stem)
def test_a_file_cut_short_is_refused_or_understood(path):
    data = path.read_bytes()
    for end in range(0, len(data), 61):
        check(data[:end])


@_short
@given(GRAMMATICAL)
def test_files_by_the_grammar_are_refused_or_understood(text):
    check(text.encode())


@settings(_short, max_examples=150)
@given(CALLS)
def test_calls_of_whatever_are_refused_or_understood(text):
    check(text.encode(), thorough=True)


@_short
@given(WELL_FORMED)
def test_well_formed_nets_are_understood(text):
    assert check(text.encode(), thorough=True) in ("checked", "compiled")
