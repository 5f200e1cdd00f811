"""The records of a report. They are plain data; `analysis` fills them in.

Named tuples, because a dataclass takes a millisecond to define and eight times as long to make, and `netdsl analyze` is
to answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fractions import Fraction


class Tensor(NamedTuple):
    """A tensor: its shape without batch at the default sizes, and as written where a size is symbolic (else None)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    symbolic_shape: tuple[int | str, ...] | None = None


class ReceptiveField(NamedTuple):
    """Per spatial axis: the extent in input pixels, the input pixels between neighbouring outputs, and the first input
    pixel that output 0 sees (negative inside padding): r, S and the negative of P in Araujo, Norris & Sim, "Computing
    Receptive Fields of Convolutional Neural Networks", Distill 2019. `aligned` is false where paths met whose centres or
    strides differ; `paths` names the first two tensors that did.
    """

    size: tuple[int, ...]
    stride: tuple[Fraction, ...]
    start: tuple[int, ...]
    aligned: bool = True
    paths: tuple[str, ...] = ()


class Layer(NamedTuple):
    """One application of an operator; counts are per sample.

    `params` are those first used here; where another layer used them before, `shared` names it. `fields` has the
    receptive field for each network input that the layer depends on, None where it is the whole input.
    """

    name: str
    op: str
    block: str
    output: Tensor
    params: int
    macs: int
    flops: int
    line: int
    fields: Mapping[str, ReceptiveField | None]
    file: str | None = None
    shared: str | None = None
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()


class Totals(NamedTuple):
    """Sums over the inference network, per sample where that makes a difference: how many numbers, multiply-accumulates and
    floating-point operations, bytes of float32. What is counted is in `CONVENTIONS`.
    """

    params: int
    trainable_params: int
    buffers: int
    macs: int
    flops: int
    activation_bytes: int
    peak_memory_bytes: int
    depth: int


class TrainingOnly(NamedTuple):
    """What the train block adds to the network: auxiliary heads, loss and metrics."""

    params: int
    macs: int
    flops: int


class TrainingMemory(NamedTuple):
    """What a training step of `batch` samples takes; see `CONVENTIONS`."""

    batch: int
    bytes: int


class Report(NamedTuple):
    """All that `netdsl analyze` says about a net, at its default sizes. Prints as the table; `to_dict` is the stable JSON.

    `constraints` are sentences on which sizes of the inputs are legal.
    """

    net: str
    file: str
    hyperparameters: Mapping[str, Any]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    totals: Totals
    layers: tuple[Layer, ...]
    constraints: tuple[str, ...]
    training_only: TrainingOnly | None = None
    training_memory: TrainingMemory | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values: the keys that `netdsl analyze --json` prints."""
        from netdsl.report.as_dict import to_dict

        return to_dict(self)

    def __str__(self) -> str:
        from netdsl.report.table import table

        return table(self)

    def _repr_html_(self) -> str:
        from netdsl.report.html import html

        return html(self)
