"""The table of operators, filled by the `@operator` declarations."""

from __future__ import annotations

from netdsl.ops.operator import Operator

OPERATORS: dict[str, Operator] = {}


def operator(cls: type[Operator]) -> type[Operator]:
    """Register an operator class under its name."""
    assert cls.name not in OPERATORS, f"two declarations of {cls.name}"
    OPERATORS[cls.name] = cls()
    return cls
