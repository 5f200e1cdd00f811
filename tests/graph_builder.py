"""Graphs made by hand for tests: operators applied through their declarations, without a .net file."""


from netdsl.diagnostics import Source, Span
from netdsl.ir import (
    Graph,
    Node,
    Optimizer,
    Parameter,
    Schedule,
    Size,
    TensorType,
    Training,
    Value,
    verify,
)
from netdsl.ops import OPERATORS, REQUIRED, Args, Site

SPAN = Span(Source("test.net", "net test : x -> y { }\n"), 0, 3)


class NetBuilder:
    """Applies operators one after the other: `b.apply("conv", x, channels=8, kernel=3)` gives the output value."""

    def __init__(self):
        self.inputs = []
        self.nodes = []
        self.symbols = {}
        self._counts = {}

    def input(self, name, *shape, dtype="float32", batched=True):
        """A net input; a dimension `("H", 32)` is symbolic."""
        self.inputs.append(Value(name, TensorType(self._shape(shape), dtype, batched)))
        return self.inputs[-1]

    def _shape(self, shape):
        self.symbols.update(dim for dim in shape if isinstance(dim, tuple))
        return tuple(dim if isinstance(dim, int) else Size.symbol(*dim) for dim in shape)

    def apply(self, op, *inputs, name=None, share=None,
              **arguments):  # fmt: skip
        """Apply an operator; `share` gives it the parameters of another node."""
        return self.node(op, *inputs, name=name, share=share, **arguments).output

    def node(self, op, *inputs, name=None, share=None,
             **arguments):  # fmt: skip
        operator = OPERATORS[op]
        args = Args({argument.name: argument.default for argument in operator.arguments}, **arguments)
        assert REQUIRED not in list(args.values()), f"{op}: an argument is missing"
        assert set(args) == {argument.name for argument in operator.arguments}
        site = Site(args, inputs, tuple(value.name for value in inputs))
        operator.resolve(site)
        types = operator.infer(site)
        self._counts[op] = self._counts.get(op, 0) + 1
        path = name or f"{op}.{self._counts[op]}"
        made = share or {
            role: Parameter(f"{path}.{role}", s.shape, s.init, s.fan_in, s.fan_out, SPAN, s.trainable, s.buffer, s.mask)
            for role, s in operator.parameters(site).items()
        }
        outputs = tuple(Value(path if i == 0 else f"{path}.{i}", type_) for i, type_ in enumerate(types))
        self.nodes.append(Node(path, operator, args, inputs, outputs, made, SPAN))
        return self.nodes[-1]

    def graph(self, *, training=None, **outputs):
        """The net with the given outputs; nodes that were applied after `training` was made are not in it."""
        own = set() if training is None else set(training.nodes)
        nodes = tuple(node for node in self.nodes if node not in own)
        graph = Graph("test", "test.net", {"n": 3}, tuple(self.inputs), outputs, nodes, SPAN, self.symbols,
                      training=training)  # fmt: skip
        verify(graph)
        return graph

    def training(self, loss, targets, since, **metrics):
        """A train block of the nodes applied from position `since` on."""
        optimizer = Optimizer("sgd", Schedule("constant", {"lr": 0.1}), {})
        return Training(targets, tuple(self.nodes[since:]), loss, metrics, optimizer, 32, 1, SPAN)
