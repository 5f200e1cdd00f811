"""Holding a file's `expect` lines against what the analysis finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from netdsl.analysis.facts import Facts
from netdsl.diagnostics import SourceError
from netdsl.elaborate import Elaboration
from netdsl.elaborate.values import Count, Fact
from netdsl.ir import Value
from netdsl.ops.facts import FACTS


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
        of = {"params": self.facts.params_of, "macs": self.facts.macs_of}.get(name)
        if of is None:
            return value
        count = Count(value)
        count.of = Fact(name, f'the name of a layer or block, as `analyze` prints it: {name}("c1"); or a tensor, or several',
                        _is_part, lambda part: of([part] if isinstance(part, Value) else part))  # fmt: skip
        return count

    def __iter__(self) -> Iterator[str]:
        return iter(FACTS)

    def __len__(self) -> int:
        return len(FACTS)


def _is_part(value: Any) -> bool:
    """A name, a tensor, or a list of tensors."""
    return isinstance(value, (str, Value)) or (
        isinstance(value, list) and bool(value) and all(isinstance(v, Value) for v in value)
    )
