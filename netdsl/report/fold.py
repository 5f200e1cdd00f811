"""Layers to the rows of the table: blocks below a level become one row, repeated rows one with a count."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from netdsl.report.record import Layer, ReceptiveField, Tensor

#: rows that the table shows unasked; about a screen
SCREEN = 60


class Row(NamedTuple):
    """One or more layers; `last` is where they end, `times` how many like units stand in a row."""

    name: str
    last: Tensor
    fields: tuple[ReceptiveField | None, ...]
    params: int
    macs: int
    flops: int
    times: int = 1
    unit: tuple[object, ...] = ()


def rows(layers: Sequence[Layer], depth: int | None) -> list[Row]:
    """The layers with so many levels of blocks unfolded; with None one where that fits a screen, else none."""
    if depth is not None:
        return _folded(layers, depth)
    unfolded = _folded(layers, 1)
    return unfolded if len(unfolded) <= SCREEN else _folded(layers, 0)


def _folded(layers: Sequence[Layer], depth: int) -> list[Row]:
    levels = depth + 1
    grouped = groupby(layers, key=lambda layer: "/".join(layer.name.split("/", levels)[:levels]))
    return _counted(_row(name, list(members)) for name, members in grouped)


def _row(name: str, members: list[Layer]) -> Row:
    last = members[-1]
    # what makes two neighbours alike: one block, the same operators on the same shapes at the same cost
    unit = (name.rpartition("/")[0], *((layer.op, layer.output.shape, layer.params, layer.flops) for layer in members))
    return Row(
        name, last.output, tuple(last.fields.values()), sum(layer.params for layer in members),
        sum(layer.macs for layer in members), sum(layer.flops for layer in members), unit=unit,
    )  # fmt: skip


def _counted(rows: Iterable[Row]) -> list[Row]:
    result: list[Row] = []
    for row in rows:
        if result and result[-1].unit == row.unit:
            before = result[-1]
            result[-1] = row._replace(
                name=before.name, params=before.params + row.params, macs=before.macs + row.macs,
                flops=before.flops + row.flops, times=before.times + 1,
            )  # fmt: skip
        else:
            result.append(row)
    return result
