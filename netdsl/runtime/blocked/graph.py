"""A graph that is written anew node by node, in which a tensor may lie in memory in two ways.

*Plain* is ONNX's [N, C, H, W]. *Blocked* is [N, ⌈C/B⌉, H, W, B], of the layout of ONNX Runtime's internal domain, where B
channels (the width of a vector register) are neighbours; channels that fill up the last block are of no meaning. Such a
tensor has the ONNX shape [N, ⌈C/B⌉·B, H, W] all the same, which is what the domain's operators expect: `lanes` and
`packed` change between the two views, at no cost.

What a rule computes blocked becomes plain at the first node that wants it plain, and the other way round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from netdsl.runtime.work import Shapes

DOMAIN = "com.microsoft.nchwc"

#: of batch and positions
IMAGE_AXES = [0, 2, 3]


def attributes_of(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


@dataclass(frozen=True, slots=True)
class Convolution:
    """A blocked convolution that is not written yet: what follows may still be computed within it.

    It gives `activation(conv(x, weight) + bias + addend)`.
    """

    x: str
    weight: str
    bias: str | None
    attributes: dict[str, Any]
    shape: tuple[int, ...]
    addend: str | Convolution | None = None
    activation: str | None = None

    @property
    def takes_addend(self) -> bool:
        if self.activation is not None:
            return False
        return self.addend.takes_addend if isinstance(self.addend, Convolution) else self.addend is None

    def plus(self, addend: str) -> Convolution:
        """With one more term, where `takes_addend`."""
        return replace(self, addend=self.addend.plus(addend) if isinstance(self.addend, Convolution) else addend)


class Graph:
    """The graph that is written. `shapes` are those of the tensors of the one that is read."""

    def __init__(self, source: onnx.GraphProto, shapes: Shapes, block: int):
        self.shapes, self.block = shapes, block
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.reads = Counter(name for node in source.node for name in node.input)
        self.reads.update(value.name for value in source.output)
        self._readers: dict[str, list[onnx.NodeProto]] = {}
        for node in source.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._values = {tensor.name: tensor for tensor in source.initializer}
        self._plain = {value.name for value in source.input} | set(self._values) | {""}
        self._blocked: dict[str, str] = {}
        self._waiting: dict[str, Convolution] = {}
        self._joined: dict[str, tuple[onnx.NodeProto, list[str]]] = {}
        self._runs: dict[tuple[str, ...], str] = {}
        self._products: dict[str, tuple[str, str]] = {}
        self._written: dict[tuple[Any, ...], str] = {}
        self._branches = 0
        self._reshaped: dict[str, str] = {}  # the tensor that a reshape was written of
        self._constants: dict[tuple[Any, ...], str] = {}
        self._count = 0

    # What is known of the graph that is read

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape of a tensor; None where it is not known."""
        return self.shapes.get(name)

    def is_image(self, name: str) -> bool:
        """Whether the tensor is [N, C, H, W] and may lie in blocks: ORT reorders channels in fours."""
        shape = self.shapes.get(name)
        return (
            shape is not None and len(shape) == 4 and shape[1] % 4 == 0 and self.padded(shape[1]) <= 4 * shape[1] // 3
        )

    def padded(self, channels: int) -> int:
        """The channels with those that fill up the last block."""
        return -(-channels // self.block) * self.block

    def value(self, name: str) -> list[Any] | None:
        """The elements of a constant; None for what is computed."""
        tensor = self._values.get(name)
        return None if tensor is None else numpy_helper.to_array(tensor).reshape(-1).tolist()

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """The nodes that read a tensor of the graph that is read."""
        return self._readers.get(name, [])

    def is_only_summed(self, name: str) -> bool:
        """Whether all that reads the tensor is its sum over images and positions."""
        return self.reads[name] == 1 and all(
            node.op_type == "ReduceSum" and len(node.input) == 2 and self.value(node.input[1]) == IMAGE_AXES
            for node in self.readers(name)
        )

    # Writing

    def op(self, op_type: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """The name of what a node of one output gives; the same node is written once."""
        key = (op_type, inputs, domain, repr(attributes))
        written = self._written.get(key)
        if written is None:
            written = self.ops(op_type, inputs, 1, domain, **attributes)[0]
            if not self._branches:  # what a branch computes is not seen outside
                self._written[key] = written
        return written

    def ops(self, op_type: str, inputs: Sequence[str], count: int, domain: str = "", **attributes: Any) -> list[str]:
        """Append a node of so many outputs."""
        self._count += 1
        name = f"blocked/{op_type}.{self._count}"
        outputs = [name, *(f"{name}/{i}" for i in range(1, count))]
        self.nodes.append(helper.make_node(op_type, inputs, outputs, name, None, domain, **attributes))
        self._plain.update(outputs)
        return outputs

    def ints(self, values: Sequence[int]) -> str:
        return self._constant(np.array(values, np.int64))

    def integer(self, value: int) -> str:
        return self._constant(np.array(value, np.int64))

    def number(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))

    def ones(self, shape: Sequence[int]) -> str:
        return self._constant(np.ones(shape, np.float32))

    def _constant(self, array: np.ndarray) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"blocked/constant.{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def reshape(self, name: str, shape: Sequence[int]) -> str:
        """The same elements in another shape. Of several reshapes in a row the last is written."""
        name = self._reshaped.get(name, name)
        view = self.op("Reshape", name, self.ints(shape))
        self._reshaped[view] = name
        return view

    def either(self, condition: str, one: Callable[[], str], other: Callable[[], str]) -> str:
        """What `one` writes, computed where the condition holds, else what `other` writes."""
        graphs = {"then_branch": self._branch("then", one), "else_branch": self._branch("else", other)}
        return self.op("If", condition, **graphs)

    def _branch(self, name: str, write: Callable[[], str]) -> onnx.GraphProto:
        outer, self.nodes = self.nodes, []
        self._branches += 1
        result = helper.make_tensor_value_info(write(), TensorProto.FLOAT, None)
        branch = helper.make_graph(self.nodes, name, [], [result])
        self.nodes = outer
        self._branches -= 1
        return branch

    def copy(self, node: onnx.NodeProto) -> None:
        """Append a node as it is; what it reads is made plain."""
        for name in node.input:
            self.plain(name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                for name in (name for inner in attribute.g.node for name in inner.input):
                    self.plain(name, missing_ok=True)
        self.nodes.append(node)
        self._plain.update(node.output)
        if node.op_type == "Reshape":
            self._reshaped[node.output[0]] = self._reshaped.get(node.input[0], node.input[0])

    # Plain and blocked

    def has(self, name: str) -> bool:
        """Whether a tensor of the graph that is read is computed already."""
        return name in self._plain or self.lies_blocked(name)

    def lies_blocked(self, name: str) -> bool:
        return name in self._blocked or name in self._waiting or name in self._products or name in self._joined

    def plain(self, name: str, missing_ok: bool = False) -> str:
        """The tensor in ONNX's layout."""
        if name in self._joined and name not in self._plain:
            self.copy(self._joined[name][0])
        if name not in self._plain and not (missing_ok and not self.lies_blocked(name)):
            blocked = self.blocked(name)
            node = helper.make_node(
                "ReorderOutput", [blocked], [name], f"blocked/plain/{name}", None, DOMAIN, channels=self.shapes[name][1]
            )
            self.nodes.append(node)
            self._plain.add(name)
        return name

    def blocked(self, name: str) -> str:
        """The tensor in blocks, seen as [N, ⌈C/B⌉·B, H, W]."""
        if name in self._waiting:
            self._blocked[name] = self.convolve(self._waiting.pop(name))
        if name in self._joined and name not in self._blocked:
            self._blocked[name] = self._put_together(self._joined[name][1])
        if name not in self._blocked:
            shape = self.shapes[name]
            whole = shape[1] % self.block == 0 and shape[2] * shape[3] == 1  # the same in memory
            self._blocked[name] = name if whole else self.op("ReorderInput", name, domain=DOMAIN)
        return self._blocked[name]

    def lanes(self, name: str) -> str:
        """The tensor in blocks, as [N, ⌈C/B⌉, H, W, B]."""
        n, c, h, w = self.shapes[name]
        return self.reshape(self.blocked(name), [n, self.padded(c) // self.block, h, w, self.block])

    def define(self, name: str, blocked: str) -> None:
        """From now on the tensor of the graph that is read is this one, blocked."""
        self._blocked[name] = blocked

    def define_plain(self, name: str, written: str) -> None:
        """From now on the tensor of the graph that is read is this one, plain."""
        self.nodes.append(helper.make_node("Identity", [written], [name], f"blocked/{name}"))
        self._plain.add(name)

    def define_lanes(self, name: str, lanes: str) -> None:
        n, c, h, w = self.shapes[name]
        self.define(name, self.reshape(lanes, [n, self.padded(c), h, w]))

    def blocks_of(self, name: str, start: int, end: int) -> str:
        """The channels from `start` to `end` of a tensor, in blocks: both lie between blocks. A gather works in several
        threads, a slice does not.
        """
        n, c, h, w = self.shapes[name]
        b, rows = self.block, self.padded(c) // self.block
        if (start, end) == (0, rows * b):
            return self.blocked(name)
        blocks = self.reshape(self.blocked(name), [n, rows, h * w * b])
        part = self.op("Gather", blocks, self.ints(range(start // b, end // b)), axis=1)
        return self.reshape(part, [n, end - start, h, w])

    def channels_of(self, name: str, start: int, shape: tuple[int, ...]) -> str:
        """Channels `start` and on of a tensor, which begin and end with a block, as a tensor of this shape."""
        part = self.blocks_of(name, start, start + shape[1])
        self.shapes[part] = shape
        self.define(part, part)
        return part

    # Joined tensors, of which both forms are put together when they are read

    def join(self, node: onnx.NodeProto) -> None:
        """The node's output is what it reads, one after the other along the channels."""
        pieces: list[str] = []
        for name in node.input:
            pieces += self._joined[name][1] if name in self._joined else [name]
        self._joined[node.output[0]] = (node, pieces)

    def _put_together(self, pieces: Sequence[str]) -> str:
        """Pieces joined, blocked: runs of them that fill their blocks are put into blocks once for all who read them."""
        runs: list[list[str]] = [[]]
        channels = 0
        for name in pieces:
            runs[-1].append(name)
            channels += self.shapes[name][1]
            if channels % self.block == 0:
                runs.append([])
        blocks = [self._run_of(tuple(run)) for run in runs if run]
        return blocks[0] if len(blocks) == 1 else self.op("Concat", *blocks, axis=1)

    def _run_of(self, pieces: tuple[str, ...]) -> str:
        if len(pieces) == 1:
            return self.blocked(pieces[0])
        if pieces not in self._runs:
            plain = self.op("Concat", *map(self.plain, pieces), axis=1)
            self._runs[pieces] = self.op("ReorderInput", plain, domain=DOMAIN)
        return self._runs[pieces]

    # What follows a convolution is computed within it

    def wait(self, name: str, convolution: Convolution) -> None:
        """The tensor is what this convolution gives, once it is read."""
        self._waiting[name] = convolution

    def put(self, name: str, result: Convolution | str | None) -> bool:
        """The tensor is this one, blocked, which may wait. False: it is not written."""
        if isinstance(result, Convolution):
            self.wait(name, result)
        elif result is not None:
            self.define(name, result)
        return result is not None

    def take(self, name: str) -> Convolution | None:
        """The convolution that gives the tensor, if it waits and nothing else reads the tensor."""
        return self._waiting.pop(name, None) if self.reads[name] == 1 else None

    def convolve(self, c: Convolution) -> str:
        """Write a convolution."""
        addend = self.convolve(c.addend) if isinstance(c.addend, Convolution) else c.addend
        inputs = [c.x, c.weight, c.bias or "", addend or ""]
        while not inputs[-1]:
            inputs.pop()
        activation = {} if c.activation is None else {"activation": c.activation}
        return self.op("Conv", *inputs, domain=DOMAIN, **c.attributes, **activation)

    def multiply_later(self, name: str, a: str, b: str) -> None:
        """The tensor is the product of two, of which the sum is wanted and nothing else."""
        self._products[name] = (a, b)

    def factors(self, name: str) -> tuple[str, str] | None:
        return self._products.get(name)
