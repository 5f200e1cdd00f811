"""Symbolic sizes as ONNX nodes: read off the graph's inputs at run time, then computed with int64 operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from netdsl.ir import Dim, Floor, Size, Symbol, Value
from netdsl.ir.size import Atom
from netdsl.lower.emit import Emitter


class Sizes:
    """Emits each size once. All are 1-D tensors of one int64, ready for Concat."""

    def __init__(self, emitter: Emitter, inputs: Sequence[tuple[Value, str]], batch: int | None):
        """`inputs`: the values that are fed, with their ONNX names. `batch`: the batch size, or None for any."""
        self._emitter, self._static_batch = emitter, batch
        self._batch_input: str | None = None
        self._batch: str | None = None
        self._places: dict[Atom, tuple[str, int]] = {}
        self._known: dict[Size | Atom, str] = {}
        self._lists: dict[tuple[tuple[Dim, ...], bool], str] = {}
        for value, name in inputs:
            if value.type.batched and self._batch_input is None:
                self._batch_input = name
            for axis, dim in enumerate(value.shape, start=int(value.type.batched)):
                if isinstance(dim, Size) and len(dim.terms) == 1 and dim == Size(((dim.terms[0][0], 1),)):
                    self._places.setdefault(dim.terms[0][0], (name, axis))

    def dims(self, dims: Sequence[Dim], batch: bool) -> str:
        """A 1-D int64 tensor with the dimensions, led by the batch size if `batch`; a constant where all are known."""
        key = (tuple(dims), batch)
        if key not in self._lists:
            self._lists[key] = self._list(list(dims), batch)
        return self._lists[key]

    def _list(self, dims: list[Dim], batch: bool) -> str:
        if batch and self._static_batch is not None:
            dims, batch = [self._static_batch, *dims], False
        parts = [self._batch_size()] if batch else []
        run: list[int] = []
        for dim in dims:
            if isinstance(dim, Size):
                if run:
                    parts.append(self._constant(*run))
                    run = []
                parts.append(self._size(dim))
            else:
                run.append(dim)
        if run or not parts:
            parts.append(self._constant(*run))
        return parts[0] if len(parts) == 1 else self._emitter.shared("sizes/shape", "Concat", parts, axis=0)

    def _batch_size(self) -> str:
        if self._batch is None:
            assert self._batch_input is not None, "a batched value needs a batched input"
            self._batch = self._emitter.shared("sizes/N", "Shape", [self._batch_input], start=0, end=1)
        return self._batch

    def _size(self, size: Size) -> str:
        """sum(factor * atom) + constant"""
        if size not in self._known:
            total: str | None = None
            for atom, factor in size.terms:
                term = self._atom(atom)
                if factor != 1:
                    term = self._op(f"{factor}*{atom}", "Mul", term, factor)
                total = term if total is None else self._emitter.shared("sizes/sum", "Add", [total, term])
            assert total is not None, "a size without symbols is an int"
            self._known[size] = self._op(str(size), "Add", total, size.constant) if size.constant else total
        return self._known[size]

    def _atom(self, atom: Atom) -> str:
        if atom not in self._known:
            if isinstance(atom, Symbol):
                name, axis = self._places[atom]
                self._known[atom] = self._emitter.shared(f"sizes/{atom}", "Shape", [name], start=axis, end=axis + 1)
            else:
                self._known[atom] = self._floor(atom)
        return self._known[atom]

    def _floor(self, floor: Floor) -> str:
        numerator = self._size(floor.numerator)
        if floor.numerator.constant < 0 or any(factor < 0 for _, factor in floor.numerator.terms):
            # Div rounds towards zero; Mod has the divisor's sign
            rest = self._op("remainder", "Mod", numerator, floor.divisor)
            numerator = self._emitter.shared("sizes/multiple", "Sub", [numerator, rest])
        return self._op(str(floor), "Div", numerator, floor.divisor)

    def _op(self, label: str, op_type: str, left: str, right: int) -> str:
        return self._emitter.shared(f"sizes/{label}", op_type, [left, self._constant(right)])

    def _constant(self, *values: int) -> str:
        return self._emitter.constant(np.array(values, np.int64))
