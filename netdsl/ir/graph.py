"""The graph: what a net means once its text has been elaborated. The whole IR is on this page.

Nodes are in emitted order, which is topological. Everything is frozen: a pass returns a new graph. Values, parameters
and nodes are compared by identity.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from netdsl.diagnostics import Frame, Span
from netdsl.ir.size import Dim, Size, value_at
from netdsl.record import Record, field

if TYPE_CHECKING:
    from netdsl.ops.operator import Args, Operator

Shape = tuple[Dim, ...]
DType = Literal["float32", "int64", "bool"]


class TensorType(NamedTuple):
    """Shape without the batch axis, channels first. `batched` says whether there is a batch axis in front."""

    shape: Shape
    dtype: DType = "float32"
    batched: bool = True


class Value(Record):
    """A tensor of the graph: an input, or an output of one node."""

    name: str
    type: TensorType

    @property
    def shape(self) -> Shape:
        return self.type.shape


class Init(Record, eq=True):
    """How a parameter starts: `he`, `glorot`, `gaussian(std)`, `constant(value)`, ... and a factor on the result."""

    kind: str
    arguments: tuple[Any, ...] = ()
    scale: float = 1.0


class Parameter(Record):
    """A learnable or fixed tensor. A buffer (running statistics, fixed codes) is not counted in `params`."""

    name: str
    shape: tuple[int, ...]
    init: Init
    fan_in: int
    fan_out: int
    span: Span
    trainable: bool = True
    buffer: bool = False
    mask: tuple[tuple[int, ...], ...] | None = None  # conv's `connect`: per output map, the inputs it sees

    @property
    def count(self) -> int:
        """Numbers that are learned or stored; where a mask leaves connections out, only those that exist."""
        total = 1
        for dim in self.shape:
            total *= dim
        if self.mask is not None:
            dense = self.shape[0] * self.shape[1]
            total = total // dense * sum(len(inputs) for inputs in self.mask)
        return total


class Node(Record):
    """One application of an operator. `name` is its path: `stage2/basic.1/conv`."""

    name: str
    op: Operator
    args: Args
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    parameters: Mapping[str, Parameter]
    span: Span
    chain: tuple[Frame, ...] = ()

    @property
    def output(self) -> Value:
        return self.outputs[0]

    @property
    def block(self) -> str:
        return self.name.rpartition("/")[0]


class Constraint(NamedTuple):
    """A condition on the symbolic sizes: `left == right`, or `left >= right`, wherever the net is to work; or a symbol
    that was fixed, on the left, at its default.
    """

    left: Dim
    right: Dim
    reason: str
    span: Span
    relation: Literal["==", ">="] = "=="

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether it does where symbols have these sizes; one that is not given has its default."""
        left, right = value_at(self.left, sizes), value_at(self.right, sizes)
        return left == right if self.relation == "==" else left >= right

    def fixes(self, symbols: Container[str]) -> bool:
        """Whether it says of a symbol that it was fixed: so it is none of a graph's `symbols` any more."""
        return isinstance(self.left, Size) and not all(name in symbols for name in self.left.symbols())


class Target(NamedTuple):
    """What the loss compares with: a class index (`class`) or a tensor of numbers (`value`)."""

    value: Value
    kind: Literal["class", "value"]
    ignore: int | None = None


class Schedule(Record, eq=True):
    """A learning rate over time: kind `constant`, `step` or `cosine`, and its numbers (rates; epochs)."""

    kind: str
    arguments: Mapping[str, Any]


class Optimizer(Record, eq=True):
    """`sgd`, `rmsprop`, `adam` or `adamw`, its learning-rate schedule and its other numbers."""

    kind: str
    rate: Schedule
    arguments: Mapping[str, Any]


#: steps of an input pipeline: the transforms' names and arguments
Steps = tuple[tuple[str, Mapping[str, Any]], ...]


class Training(Record):
    """A `train` block: its nodes (all that only the loss and the metrics read), and how the net is trained."""

    targets: tuple[Target, ...]
    nodes: tuple[Node, ...]
    loss: Value
    metrics: Mapping[str, Value]
    optimizer: Optimizer
    batch: int
    epochs: int
    span: Span
    prepare: Steps = ()
    augment: Steps = ()


class Graph(Record):
    """A net: inputs, nodes and outputs; the names of its body as last bound; what is known about legal sizes."""

    name: str
    path: str
    hyperparameters: Mapping[str, Any]
    inputs: tuple[Value, ...]
    outputs: Mapping[str, Value]
    nodes: tuple[Node, ...]
    span: Span
    symbols: Mapping[str, int] = field(default_factory=dict)
    constraints: tuple[Constraint, ...] = ()
    named: Mapping[str, Value] = field(default_factory=dict)
    training: Training | None = None
    prepared: Steps = ()  # the input pipeline where a pass has left out the train block

    @property
    def prepare(self) -> Steps:
        """What is done to an input wherever one is fed."""
        return self.prepared if self.training is None else self.training.prepare

    @property
    def all_nodes(self) -> tuple[Node, ...]:
        """The net's nodes, then the train block's."""
        return self.nodes if self.training is None else self.nodes + self.training.nodes

    def parameters(self) -> list[Parameter]:
        """Every parameter of the inference network once, in order of first use."""
        return parameters_of(self.nodes)


def parameters_of(nodes: tuple[Node, ...]) -> list[Parameter]:
    """Every parameter that the nodes use, once, in order of first use."""
    return list(dict.fromkeys(p for node in nodes for p in node.parameters.values()))


def needed(nodes: Iterable[Node], values: Iterable[Value]) -> set[Node]:
    """The nodes that the values depend on."""
    producers = {value: node for node in nodes for value in node.outputs}
    found: set[Node] = set()
    stack = [producers[v] for v in values if v in producers]
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack += [producers[v] for v in node.inputs if v in producers]
    return found


def extents(nodes: Iterable[Node]) -> list[Constraint]:
    """That every tensor has at least one element along every axis; each size is said once."""
    found: dict[Size, Constraint] = {}
    shapes: set[int] = set()
    for node in nodes:
        for value in node.outputs:
            if id(value.shape) not in shapes:  # layers pass shapes on, and comparing sizes takes time
                shapes.add(id(value.shape))
                for dim in value.shape:
                    if isinstance(dim, Size) and dim not in found:
                        found[dim] = Constraint(dim, 1, node.op.name, node.span, ">=")
    return list(found.values())
