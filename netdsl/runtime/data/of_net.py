"""Loading the data that a net is to be trained on."""

from __future__ import annotations

from os import PathLike

from netdsl.ir import Graph, Value
from netdsl.runtime.data.dataset import Data
from netdsl.runtime.data.source import load
from netdsl.runtime.transforms import Pipeline


def data_of_net(graph: Graph, spec: str | PathLike[str] | Data) -> Data:
    """`load` with what the net says of its data: names and shapes of inputs and targets, and the size that `prepare`
    starts by resizing to.
    """
    if isinstance(spec, Data):
        return spec
    training = graph.training
    targets = () if training is None else tuple(target.value for target in training.targets)
    resize = Pipeline(graph.prepare).leading_resize
    return load(spec, inputs=_shapes(graph.inputs), targets=_shapes(targets), resize=resize)


def _shapes(values: tuple[Value, ...]) -> dict[str, tuple[int, ...]]:
    return {value.name: tuple(map(int, value.shape)) for value in values}
