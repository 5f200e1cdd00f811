"""Dense layers to convolutions: the net runs on larger images, and gives a map of what it said of one window."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import NamedTuple

import numpy as np

from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir import Graph, Node, Parameter, Size, TensorType, Value, extents
from netdsl.ir.solve import solve
from netdsl.ops import OPERATORS, REQUIRED, Operator
from netdsl.ops.axes import axis_word
from netdsl.passes.conversion import Conversion, kept, listed
from netdsl.passes.rewrite import Rewrite, converted
from netdsl.passes.windows import described

OPTION = "--fully-convolutional"
#: pools over a whole map, and those over as large a window
_POOLS = {"global_avg_pool": "avg_pool", "global_max_pool": "max_pool"}
#: pools to a fixed number of bins, and those over windows as large as a bin
_BINS = {"adaptive_avg_pool": "avg_pool", "adaptive_max_pool": "max_pool"}
#: what is converted by name
CONVERTED = frozenset(("flatten", "dense", *_POOLS, *_BINS))


class _Lies(NamedTuple):
    """How an old tensor lies in the maps that stand for it. `maps`: as it did. `vector`: at each position, the channels.
    `flat`: at each position, the window of this shape `[C, h, w]` that begins there. `other`: as it did, in a net that was
    for any size already, behind what is not the same at every position.
    """

    kind: str
    shape: tuple[int, ...] = ()


_MAPS, _VECTOR, _OTHER = _Lies("maps"), _Lies("vector"), _Lies("other")


def fully_convolutional(graph: Graph, parameters: Mapping[str, np.ndarray]) -> Conversion:
    """Every dense layer becomes a convolution, so that the net runs on inputs of its size and larger (LeCun et al. 1998,
    section VII; Sermanet et al., "OverFeat", ICLR 2014, section 3.5; Long et al., CVPR 2015, section 3.1).

    Behind a `flatten` of maps [C, h, w] a dense layer becomes a convolution with a kernel of h x w, else one of 1 x 1;
    its weights [units, C * h * w] are reshaped to [units, C, h, w]. A global pool becomes a pool of stride 1 over a
    window as large as its maps, an adaptive one with equal bins a pool over such bins. `flatten` is gone; what acts
    element by element, or on the channels at a position, acts on maps; a vector [K] is a map [K, h', w'] from now on, 1
    x 1 at the input's size.

    Before: `parameters` has every parameter of `graph.parameters()` by name. Afterwards: height and width of every
    input with maps are symbols (`H`, `W`, `D`), whose defaults are the sizes they had, and parameters have their names.
    At the defaults the net is the same. On a larger image, where no layer pads: the outputs at each position equal the
    net on the window of the old size that begins at the position times the output's stride. A layer that pads sees in a
    larger image what surrounds the window, where the net on the window alone would see padding: what then holds is that
    outputs whose receptive field lies inside the image are those of the net without padding on that field. The train
    block's targets get the positions of what they are compared with; where that does not fit, there is none, and a
    remark says why.

    Raises NetError: E1101 for an operator that is another function on larger maps, or one without a declared
    `locality`; E1105 where something asks for the old size.
    """
    return _Converter(graph, parameters).run()


class _Converter:
    def __init__(self, graph: Graph, parameters: Mapping[str, np.ndarray]) -> None:
        self.graph, self.numbers = graph, dict(parameters)
        self.again = Rewrite(graph, OPTION)
        self.lies: dict[Value, _Lies] = {}  # of what depends on maps
        self.symbols = dict(graph.symbols)
        self.opened = False  # whether a size was fixed before
        self.targets = () if graph.training is None else tuple(t.value for t in graph.training.targets)
        self.reshaped: dict[Parameter, Parameter] = {}
        self.dense: list[Node] = []
        self.pools: list[Node] = []

    def run(self) -> Conversion:
        for value in self.graph.inputs:
            self._open(value)
        nodes = converted(self.graph.nodes, self._node)
        if not self.opened and nodes == self.graph.nodes:
            return Conversion(self.graph, self.numbers, ("fully convolutional: the net was so before",))
        self._require_no_flat_output()
        self._require_open(nodes)
        what = self._remarks()
        training, remarks = self.again.trained(self._node, self._require_open)
        graph = self.again.rebuilt(nodes, training, symbols=self.symbols)
        vectors = {name for name, value in self.graph.outputs.items() if self.lies.get(value) == _VECTOR}
        return Conversion(graph, kept(graph, self.numbers), (*what, *described(graph, vectors), *remarks))

    def _require_no_flat_output(self) -> None:
        for name, value in self.graph.outputs.items():
            if self.lies.get(value, _MAPS).kind == "flat":
                place = next(node for node in self.graph.nodes if value in node.outputs)
                message = f"`{OPTION}` cannot convert the output `{name}`: it is a flattened map, which has no positions"
                raise NetError(Diagnostic("E1101", message, (Label(place.span),), chain=place.chain,
                                          helps=(f"end the net before it: `--chop {place.inputs[0].name}`",)))  # fmt: skip

    def _open(self, value: Value) -> None:
        """Make an input's spatial sizes symbols."""
        rank = len(value.shape)
        if value.type.dtype != "float32" or not value.type.batched or not 2 <= rank <= 4:
            return
        shape = [value.shape[0]]
        for axis, size in enumerate(value.shape[1:], start=1):
            shape.append(size if isinstance(size, Size) else self._symbol((axis_word(axis, rank) or "size")[0].upper(), size))
        self.lies[value] = _MAPS
        if tuple(shape) != value.shape:
            self.again.values[value] = Value(value.name, TensorType(tuple(shape)))

    def _symbol(self, letter: str, size: int) -> Size:
        """A symbol of that size: `H`, or `H2` where another has that name."""
        self.opened = True
        name, number = letter, 1
        while self.symbols.get(name, size) != size or name in self.graph.symbols:
            number += 1
            name = f"{letter}{number}"
        self.symbols[name] = size
        found = Size.symbol(name, size)
        assert isinstance(found, Size)
        return found

    def _node(self, node: Node) -> Node | None:
        found = [self.lies.get(value) for value in node.inputs]
        self._fit_targets(node, found)
        lies = {self.lies[value] for value in node.inputs if value in self.lies}
        if not lies or node.op.style == "loss":
            return self.again.apply(node)
        if lies <= {_MAPS, _OTHER} and not self.opened and node.op.name not in CONVERTED:
            made = self.again.apply(node)
            same = lies == {_MAPS} and made.op.locality_of(made) is not None
            self.lies.update(dict.fromkeys(node.outputs, _MAPS if same else _OTHER))
            return made
        if _OTHER in lies:
            raise self.again.refused(node, "what is before it is not the same at every position")
        if len(lies) > 1:
            raise self.again.refused(node, "it joins maps with a vector that stands for a whole window, which in a larger "
                                     "image is another one for each window")  # fmt: skip
        (here,) = lies
        if node.op.name == "flatten":
            shape = tuple(map(int, node.inputs[0].shape))
            window = _VECTOR if all(size == 1 for size in shape[1:]) else _Lies("flat", shape)
            self.lies[node.output] = window if here == _MAPS else here
            self.again.values[node.output] = self.again[node.inputs[0]]
            return None
        if node.op.name == "dense":
            made = self._convolution(node, here)
        elif node.op.name in _POOLS:
            made = self._pool(node)
        else:
            made = self._bins(node) if node.op.name in _BINS else self._local(node, here)
            self.lies.update(dict.fromkeys(node.outputs, here))
            return made
        self.lies[node.output] = _VECTOR
        return made

    def _fit_targets(self, node: Node, found: list[_Lies | None]) -> None:
        for value in node.inputs:
            if value in self.targets and value not in self.lies:
                for other, lies in zip(node.inputs, found, strict=True):
                    if lies is not None and lies.kind != "flat":
                        self.again.fit_target(value, other)
                        self.lies[value] = lies
                        break

    def _local(self, node: Node, here: _Lies) -> Node:
        """An operator that does the same at every position."""
        wanted = {"flat": ("element",), "vector": ("element", "position"), "maps": ("element", "position", "window")}
        if node.op.locality_of(node) not in wanted[here.kind]:
            mixed = here.kind == "flat" and node.op.locality_of(node) is not None
            raise self.again.refused(node, "it acts on the elements of a flattened map as if they were channels" if mixed
                                     else _reason(node))  # fmt: skip
        if here.kind == "flat" and not all(value in self.lies for value in node.inputs):
            raise self.again.refused(node, "it has a number for each element of a flattened map")
        made = self.again.apply(node)
        if made.op.locality_of(made) is None:
            raise self.again.refused(node, "where it cuts depends on the image's size")
        return made

    def _pool(self, node: Node) -> Node:
        """A pool over whole maps as one over windows of their size."""
        kernel = tuple(map(int, node.inputs[0].shape[1:]))
        op = OPERATORS[_POOLS[node.op.name]]
        made = self.again.apply(node, op=op, args=_defaults(op) | {"kernel": kernel, "stride": 1})
        self.pools.append(made)
        return made

    def _bins(self, node: Node) -> Node:
        """A pool to a number of bins as one over windows of a bin's size; a single bin slides, as a global pool does."""
        sizes = [(int(n), k) for n, k in zip(node.inputs[0].shape[1:], node.args.size, strict=True)]
        if any(n % k for n, k in sizes):
            raise self.again.refused(node, "its bins are not of one size")
        op, kernel = OPERATORS[_BINS[node.op.name]], tuple(n // k for n, k in sizes)
        strides = tuple(1 if k == 1 else n // k for n, k in sizes)
        made = self.again.apply(node, op=op, args=_defaults(op) | {"kernel": kernel, "stride": strides})
        self.pools.append(made)
        return made

    def _convolution(self, node: Node, here: _Lies) -> Node:
        """A dense layer as a convolution over the window that its vector was."""
        a, weight, op = node.args, node.parameters["weight"], OPERATORS["conv"]
        spatial = len(self.again[node.inputs[0]].shape) - 1
        channels, *kernel = here.shape or (weight.shape[1], *(1,) * spatial)
        known = {argument.name for argument in op.arguments}
        lost = [x.name for x in node.op.arguments if x.name not in {*known, "units"} and a[x.name] != x.default]
        if lost:
            raise self.again.refused(node, f"a convolution has no `{lost[0]}`")
        args = _defaults(op) | {name: value for name, value in a.items() if name in known}
        args |= {"channels": a.units, "kernel": tuple(kernel), "pad": 0}
        parameters = {**node.parameters, "weight": self._reshaped(node, weight, (a.units, channels, *kernel))}
        made = self.again.apply(node, op=op, args=args, parameters=parameters)
        self.dense.append(made)
        return made

    def _reshaped(self, node: Node, weight: Parameter, shape: tuple[int, ...]) -> Parameter:
        made = self.reshaped.get(weight) or weight.replace(shape=shape)
        if made.shape != shape:
            raise self.again.refused(node, "its weights are shared with a layer behind maps of another size")
        if weight.name in self.numbers:
            self.numbers[weight.name] = self.numbers[weight.name].reshape(shape)
        self.reshaped[weight] = made
        return made

    def _require_open(self, nodes: tuple[Node, ...]) -> None:
        """Raise NetError (E1105) where only certain sizes would do."""
        found = solve(self.symbols, [*self.again.constraints, *extents(nodes)])
        for name, sizes in found.legal.items():
            if sizes.stop < inf or not sizes.remainders:
                place = found.reasons[name][0]
                raise NetError(Diagnostic("E1105", f"`{OPTION}` cannot open the size {name} = {self.symbols[name]}: "
                                          f"{place.reason}", (Label(place.span),),
                                          (f"{place.left} must equal {place.right} here",),
                                          ("end the net before it with `--chop`",)))  # fmt: skip

    def _remarks(self) -> tuple[str, ...]:
        remarks = []
        if self.dense:
            kernels = [f"{node.name} {_by(node.args.kernel)}" for node in self.dense]
            remarks.append(f"fully convolutional: dense layers are convolutions now: {listed(kernels)}")
        if self.pools:
            kernels = [f"{node.name} {_by(node.args.kernel)}" for node in self.pools]
            remarks.append(f"fully convolutional: global and adaptive pools are windows now: {listed(kernels)}")
        return tuple(remarks) or ("fully convolutional: only the input's size had to be opened",)


def _reason(node: Node) -> str:
    """Why an operator is not the same at every position."""
    if node.parameters and isinstance(node.op.reaches(node)[0], tuple):
        return "it has weights of its own for each position"
    return "it depends on more than a window around each position, so that on a larger image it would be another function"


def _defaults(op: Operator) -> dict[str, object]:
    return {argument.name: argument.default for argument in op.arguments if argument.default is not REQUIRED}


def _by(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
