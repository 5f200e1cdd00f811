"""What may go wrong when a graph is differentiated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx


class Unsupported(Exception):
    """Raised inside a rule: this one node (its attributes, its missing static sizes) has no gradient. Says why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A forward node that stops differentiation, and the reason in one sentence."""

    node: onnx.NodeProto
    reason: str

    def __str__(self) -> str:
        name = self.node.name or next((output for output in self.node.output if output), "")
        return f"{self.node.op_type} '{name}': {self.reason}"


class GradientError(ValueError):
    """The graph cannot be differentiated as asked. `problems` has one entry for every node that is the cause."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__("\n  ".join([message, *map(str, problems)]))
        self.problems = tuple(problems)
