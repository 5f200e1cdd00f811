"""The graph as an ONNX graph: for inference, for evaluation on data, or as the forward half of a training step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from onnx import GraphProto, TensorProto, ValueInfoProto

from netdsl.ir import Graph, Node, Parameter, Value
from netdsl.lower.builder import GraphBuilder
from netdsl.lower.cuda import symmetric_transposed_convolutions
from netdsl.lower.emit import Emitter
from netdsl.lower.random import Uniform
from netdsl.lower.sizes import Sizes

Mode = Literal["inference", "evaluation", "training"]
Provider = Literal["cpu", "cuda"]

_DTYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}


@dataclass(frozen=True, slots=True)
class Lowered:
    """An ONNX graph in which parameters are referenced under their names but not declared.

    The caller adds them as initializers or as inputs. All names are those of tensors of `graph`; outputs, loss and
    metrics are outputs of it, `updates` (what a buffer holds after the step) are not. `seed` and `step` are its int64
    scalar inputs where the step draws random numbers, else None.
    """

    graph: GraphProto
    inputs: dict[str, str]
    targets: dict[str, str]
    parameters: list[Parameter]
    outputs: dict[str, str]
    loss: str | None
    metrics: dict[str, str]
    updates: dict[Parameter, str]
    seed: str | None
    step: str | None


def lower_graph(graph: Graph, mode: Mode, *, batch: int | None = None, provider: Provider = "cpu") -> Lowered:
    """Lower a graph.

    `inference`: the net. `evaluation`: the net as in inference, with the train block's loss and metrics. `training`:
    with batch statistics, dropout, masks on masked weights, and the buffers' updates. The graph must have a train
    block for the latter two. `batch` is the static batch size; None leaves it open, as the dimension `N`.
    """
    training = graph.training if mode != "inference" else None
    assert training is not None or mode == "inference", f"{graph.name} has no train block"
    proto = GraphProto(name=graph.name)
    parameters = [p.name for node in _nodes(graph, mode) for p in node.parameters.values()]
    emitter = Emitter(proto, parameters)
    targets = () if training is None else tuple(target.value for target in training.targets)
    fed = {value: emitter.unique(value.name) for value in (*graph.inputs, *targets)}
    outputs = {name: (value, emitter.unique(name)) for name, value in graph.outputs.items()}
    loss = None if training is None else (training.loss, emitter.unique("loss"))
    metrics = {} if training is None else {n: (v, emitter.unique(n)) for n, v in training.metrics.items()}
    declared = [*outputs.values(), *metrics.values(), *([loss] if loss else [])]

    seed, step = emitter.unique("seed"), emitter.unique("step")
    builder = GraphBuilder(
        emitter, Sizes(emitter, list(fed.items()), batch), Uniform(emitter, provider, seed, step),
        _first_names(declared), provider=provider, training=mode == "training", masked=mode != "inference",
    )  # fmt: skip
    for value, name in fed.items():
        builder.feed(value, name)
    for node in _nodes(graph, mode):
        builder.lower(node)

    symbol = _batch_symbol(graph)
    for value, name in fed.items():
        _declare(proto.input.add(), name, value, batch, symbol)
    if builder.draws:
        for name in (seed, step):
            scalar = proto.input.add(name=name).type.tensor_type
            scalar.elem_type = TensorProto.INT64
            scalar.shape.SetInParent()
    for value, name in declared:
        if builder.value(value) != name:  # an input that is passed through, or a second name of one value
            emitter.alias(name, builder.value(value))
        _declare(proto.output.add(), name, value, batch, symbol)
    if provider == "cuda":
        symmetric_transposed_convolutions(proto)
    return Lowered(
        proto,
        {value.name: fed[value] for value in graph.inputs},
        {value.name: fed[value] for value in targets},
        list(builder.parameters),
        {name: tensor for name, (_, tensor) in outputs.items()},
        None if loss is None else loss[1],
        {name: tensor for name, (_, tensor) in metrics.items()},
        builder.updates,
        seed if builder.draws else None,
        step if builder.draws else None,
    )


def _nodes(graph: Graph, mode: Mode) -> tuple[Node, ...]:
    return graph.nodes if mode == "inference" else graph.all_nodes


def _first_names(declared: list[tuple[Value, str]]) -> Mapping[Value, str]:
    names: dict[Value, str] = {}
    for value, name in declared:
        names.setdefault(value, name)
    return names


def _batch_symbol(graph: Graph) -> str:
    """`N`, unless the net names a size of its own so."""
    symbol = "N"
    while symbol in graph.symbols:
        symbol += "_"
    return symbol


def _declare(info: ValueInfoProto, name: str, value: Value, batch: int | None, symbol: str) -> None:
    info.name = name
    tensor = info.type.tensor_type
    tensor.elem_type = _DTYPES[value.type.dtype]
    tensor.shape.SetInParent()
    if value.type.batched:
        if batch is None:
            tensor.shape.dim.add().dim_param = symbol
        else:
            tensor.shape.dim.add().dim_value = batch
    for dim in value.shape:
        if isinstance(dim, int):
            tensor.shape.dim.add().dim_value = dim
        else:
            tensor.shape.dim.add().dim_param = str(dim)
