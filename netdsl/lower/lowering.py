"""The graph as an ONNX graph: for inference, for evaluation on data, or as the forward half of a training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from onnx import GraphProto, TensorProto, ValueInfoProto

from netdsl.ir import Graph, Parameter, Training, Value
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
    nodes = graph.nodes if training is None else graph.all_nodes
    proto = GraphProto(name=graph.name)
    emitter = Emitter(proto, [p.name for node in nodes for p in node.parameters.values()])
    ends = _Ends.of(graph, training, emitter)
    seed, step = emitter.unique("seed"), emitter.unique("step")
    builder = GraphBuilder(
        emitter, Sizes(emitter, list(ends.fed.items()), batch), Uniform(emitter, provider, seed, step),
        ends.names, provider=provider, training=mode == "training", masked=mode != "inference",
    )  # fmt: skip
    for value, name in ends.fed.items():
        builder.feed(value, name)
    for node in nodes:
        builder.lower(node)

    symbol = _batch_symbol(graph)
    for value, name in ends.fed.items():
        _declare(proto.input.add(), name, value, batch, symbol)
    if builder.draws:
        for name in (seed, step):
            scalar = proto.input.add(name=name).type.tensor_type
            scalar.elem_type = TensorProto.INT64
            scalar.shape.SetInParent()
    for value, name in ends.read:
        if builder.value(value) != name:  # an input that is passed through, or a second name of one value
            emitter.alias(name, builder.value(value))
        _declare(proto.output.add(), name, value, batch, symbol)
    if provider == "cuda":
        symmetric_transposed_convolutions(proto)
    return Lowered(
        proto, {value.name: name for value, name in ends.inputs.items()},
        {value.name: name for value, name in ends.targets.items()}, list(builder.parameters),
        {name: tensor for name, (_, tensor) in ends.outputs.items()}, None if ends.loss is None else ends.loss[1],
        {name: tensor for name, (_, tensor) in ends.metrics.items()}, builder.updates,
        seed if builder.draws else None, step if builder.draws else None,
    )  # fmt: skip


class _Ends(NamedTuple):
    """The values that are fed and those that are read, with the names of their tensors."""

    inputs: dict[Value, str]
    targets: dict[Value, str]
    outputs: dict[str, tuple[Value, str]]
    loss: tuple[Value, str] | None
    metrics: dict[str, tuple[Value, str]]

    @staticmethod
    def of(graph: Graph, training: Training | None, emitter: Emitter) -> _Ends:
        """Their tensors are the first to get names, so that these are the file's own."""
        unique = emitter.unique
        inputs = {value: unique(value.name) for value in graph.inputs}
        targets = {} if training is None else {t.value: unique(t.value.name) for t in training.targets}
        outputs = {name: (value, unique(name)) for name, value in graph.outputs.items()}
        if training is None:
            return _Ends(inputs, targets, outputs, None, {})
        loss = (training.loss, unique("loss"))
        return _Ends(inputs, targets, outputs, loss, {n: (v, unique(n)) for n, v in training.metrics.items()})

    @property
    def fed(self) -> dict[Value, str]:
        return self.inputs | self.targets

    @property
    def read(self) -> list[tuple[Value, str]]:
        return [*self.outputs.values(), *self.metrics.values(), *([self.loss] if self.loss else [])]

    @property
    def names(self) -> dict[Value, str]:
        """The names of what is read; a value that has several is called by the first."""
        return dict(reversed(self.read))


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
