"""Loading the data that a net is to be trained on."""

from __future__ import annotations

from os import PathLike

from netdsl.ir import Graph, Value
from netdsl.runtime.data.dataset import Data
from netdsl.runtime.data.source import load


def data_of_net(graph: Graph, spec: str | PathLike[str] | Data) -> Data:
    """`load` with what the net says of its inputs and targets: their names, shapes, and a `resize` in `prepare`."""
    if isinstance(spec, Data):
        return spec
    training = graph.training
    targets = () if training is None else tuple(target.value for target in training.targets)
    resize = None
    for name, arguments in () if training is None else training.prepare:
        if name == "resize":
            height, width = arguments["height"], arguments["width"]
            resize = (
                (height[0], height[1]) if isinstance(height, list) else (height, height if width is None else width)
            )
    return load(spec, inputs=_shapes(graph.inputs), targets=_shapes(targets), resize=resize)


def _shapes(values: tuple[Value, ...]) -> dict[str, tuple[int, ...]]:
    return {value.name: tuple(map(int, value.shape)) for value in values}
