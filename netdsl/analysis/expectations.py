"""Holding a file's `expect` lines against what the analysis finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netdsl.analysis.facts import Facts
from netdsl.diagnostics import SourceError
from netdsl.elaborate import Elaboration
from netdsl.elaborate.values import Count, Fact
from netdsl.ir import Value

#: what `expect` knows besides the names of the file, and an example: what is true of `image -> conv(16, 3) @first -> bn`
FACTS = {
    "params": ("weights, frozen ones included, a shared one once; params(NAME): those of one layer or block",
               'params == 480 and params("first") == 448'),
    "trainable_params": ("weights without the frozen ones", "trainable_params == 480"),
    "buffers": ("numbers that are kept and not trained: running statistics, fixed codes", "buffers == 32"),
    "macs": ("multiply-accumulates for one sample", "macs ~ 442k"),
    "flops": ("floating-point operations for one sample: 2 x MACs, and what is no MAC", "flops ~ 934k"),
    "depth": ("operators that multiply and accumulate on the longest path from an input to an output", "depth == 1"),
    "activation_memory": ("bytes of the outputs of all operators for one sample", "activation_memory == 131072"),
    "peak_memory": ("the most bytes alive at once when one sample is computed", "peak_memory == 131072"),
    "receptive_field": ("cells of the input that a cell of a tensor sees: a number where the axes agree, else a list",
                        "receptive_field(y) == 3"),
}  # fmt: skip


def check_expectations(elaboration: Elaboration, known: Facts | None = None) -> None:
    """Raise SourceError with a diagnostic for every `expect` that does not hold. `known`: facts to reuse."""
    facts = _Names(known or Facts(elaboration.graph))
    failures = []
    for expectation in elaboration.expectations:
        try:
            expectation.holds(facts)
        except SourceError as error:
            failures += error.diagnostics
    if failures:
        raise SourceError(*failures)


class _Names(Mapping[str, Any]):
    """The names that `expect` knows besides those of the file; each figure is computed when it is asked for."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts

    def __getitem__(self, name: str) -> Any:
        if name == "receptive_field":
            return Fact(name, "a tensor that does not see the whole input", lambda v: isinstance(v, Value),
                        self.facts.receptive_field)  # fmt: skip
        if name not in FACTS:
            raise KeyError(name)
        value = getattr(self.facts, name)
        if name != "params":
            return value
        count = Count(value)
        count.of = Fact(name, 'the name of a layer or block, as `analyze` prints it: params("c1")',
                        lambda v: isinstance(v, str), self.facts.params_of)  # fmt: skip
        return count

    def __iter__(self) -> Iterator[str]:
        return iter(FACTS)

    def __len__(self) -> int:
        return len(FACTS)
