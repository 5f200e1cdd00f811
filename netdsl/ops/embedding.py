"""Vectors in place of words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netdsl.ir.graph import DType, Init, Shape
from netdsl.ops.arguments import COUNT, FLAG, INIT, Argument
from netdsl.ops.operator import Operator, ParamSpec, Rule, Site
from netdsl.ops.reach import Reach
from netdsl.ops.registry import operator

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


@operator
class Embedding(Operator):
    """For each whole number, a word's, the learned vector of that word, along the channels (Bengio et al. 2003, "A neural
    probabilistic language model"). Words are numbered from 0.
    """

    name = "embedding"
    summary = "a learned vector for each word"
    example = "int tokens[20] -> embedding(16, 100)"
    saves_for_parameters = True
    rules = (Rule("[...] -> [channels, ...]"),)
    owns = ("weight [vocabulary, channels]",)
    cost = "none"
    dtypes = frozenset({"int64"})
    arguments = (
        Argument("channels", COUNT, doc="the length of a vector"),
        Argument("vocabulary", COUNT, doc="the number of words"),
        Argument("init", INIT, Init("gaussian", (1.0,)), "initialisation of the vectors"),
        Argument("trainable", FLAG, True, "false freezes the layer"),
    )

    def dtype(self, site: Site) -> DType:
        return "float32"

    def shape(self, site: Site) -> Shape:
        return (site.args.channels, *site.inputs[0].shape)

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        a = site.args
        return {"weight": ParamSpec((a.vocabulary, a.channels), a.init, a.vocabulary, a.channels, a.trainable)}

    def flops(self, node: Node) -> int:
        return 0

    def choices(self, node: Node, index: int) -> int:
        vocabulary: int = node.args.vocabulary
        return vocabulary

    def reach(self, node: Node) -> tuple[Reach, ...]:
        """One for every axis of the input, which has positions and no channels."""
        return tuple(Reach() for _ in node.inputs[0].shape)

    def lower(self, node: Node, b: Builder) -> str:
        vectors = b.op("Gather", [b.parameter(node.parameters["weight"]), b.value(node.inputs[0])], axis=0)
        rank = 1 + len(node.output.shape)
        return b.op("Transpose", [vectors], perm=[0, rank - 1, *range(1, rank - 1)])
