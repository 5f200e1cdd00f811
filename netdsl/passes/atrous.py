"""A stride removed, and all that follows dilated: the same filters on a denser map (the "à trous" algorithm)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netdsl.diagnostics import Diagnostic, Label, NetError
from netdsl.ir import Graph, Node, Value, needed
from netdsl.passes.conversion import Conversion, kept, listed
from netdsl.passes.fully_convolutional import CONVERTED
from netdsl.passes.layers import layer_named
from netdsl.passes.rewrite import Rewrite, converted

OPTION = "--atrous"

Rate = tuple[int, ...]


def atrous(graph: Graph, parameters: Mapping[str, np.ndarray], layers: Mapping[str, int]) -> Conversion:
    """Take the strides of layers out, and dilate what is behind them, so that maps stay as dense as before the stride
    (Chen et al., "DeepLab", ICLR 2015, section 3.1; Holschneider et al. 1989).

    `layers` gives for the name of each convolution or pool the stride that is left of its own: 1 for none. With the rate
    r = old stride / new, a window behind it with stride S, dilation d and padding p has dilation r d and padding r p, and
    keeps S: its output v sees x(S v + r d k - r p), so that at v = r u it is the output u of the original. A layer that is
    named too multiplies the rate.

    Before: `parameters` has every parameter of `graph.parameters()` by name. Afterwards: the parameters are the same; of
    a tensor behind the layers, every r-th position along each axis is the original's tensor (its size n is
    ceil(n' / r)), r the product of the rates on the way; all that is not behind them is the same objects. The train block's
    targets get the new sizes; where that does not fit, there is none, and a remark says why.

    Raises NetError: E1102 for a name that no layer has; E1103 where it has no such stride; E1104 where paths of different
    rates meet; E1101 for an operator behind them that is no window or not local (`dense`: convert to fully convolutional
    first).
    """
    return _Converter(graph, layers).run(parameters)


class _Converter:
    def __init__(self, graph: Graph, layers: Mapping[str, int]) -> None:
        self.graph = graph
        self.strides = {layer_named(graph, name): stride for name, stride in layers.items()}
        self.again = Rewrite(graph, OPTION)
        self.rates: dict[Value, Rate] = {}  # of what is behind the layers
        self.targets = () if graph.training is None else tuple(t.value for t in graph.training.targets)
        self.dilated: list[Node] = []

    def run(self, parameters: Mapping[str, np.ndarray]) -> Conversion:
        for node, stride in self.strides.items():
            _require_stride(node, stride)
        nodes = converted(self.graph.nodes, self._node)
        training, remarks = self.again.trained(self._node)
        fixed = [c for c in self.graph.constraints if c.fixes(self.graph.symbols)]
        self.again.constraints[:0] = fixed
        graph = self.again.rebuilt(nodes, training)
        return Conversion(graph, kept(graph, parameters), (*self._remarks(), *remarks))

    def _node(self, node: Node) -> Node:
        for value in node.inputs:
            if value in self.targets and value not in self.rates:
                self._fit_target(value, node)
        if node not in self.strides and not any(value in self.rates for value in node.inputs):
            return self.again.apply(node)
        if node.op.style == "loss":
            return self.again.apply(node)
        rate = self._joined(node)
        if node.op.locality_of(node) in ("element", "position"):
            made = self.again.apply(node)
        elif node.op.locality == "window" and node.op.name == "pad":
            pads = [[before * r, after * r] for (before, after), r in zip(node.args.pads, rate, strict=True)]
            made = self.again.apply(node, args={**node.args, "cells": pads})
        else:
            made, rate = self._dilate(node, rate)
        self.rates.update(dict.fromkeys(node.outputs, rate))
        return made

    def _fit_target(self, target: Value, node: Node) -> None:
        for other in node.inputs:
            if other in self.rates:
                self.again.fit_target(target, other)
                self.rates[target] = self.rates[other]
                return

    def _joined(self, node: Node) -> Rate:
        """The rate of all inputs that are maps; one that is stretched over all positions has any."""
        single = all(int(size) == 1 for size in node.output.shape[1:])
        maps = [v for v in node.inputs if v in self.rates or any(single or int(size) > 1 for size in v.shape[1:])]
        rates = {value: self.rates.get(value, (1,) * (len(value.shape) - 1)) for value in maps or node.inputs[:1]}
        first = next(iter(rates))
        for value, rate in rates.items():
            if rate != rates[first]:
                raise NetError(self._unequal(node, first, value))
        return rates[first]

    def _unequal(self, node: Node, a: Value, b: Value) -> Diagnostic:
        """E1104, with the strides on the sparser way."""
        sparse = a if sum(self.rates.get(a, ())) < sum(self.rates.get(b, ())) else b
        behind = (node for node in _behind(self.graph, sparse) if node not in self.strides and is_window(node))
        strided = [node for node in behind if max(node.args.stride) > 1]
        helps = (f"take out the stride of `{strided[-1].name}` too",) if strided else ()
        notes = tuple(f"`{v.name}` has {_times(self.rates.get(v))} as many positions along each axis" for v in (a, b))
        return Diagnostic("E1104", f"`{node.op.name}` joins maps that `{OPTION}` makes differently dense", (Label(node.span),),
                          notes, helps, node.chain)  # fmt: skip

    def _dilate(self, node: Node, rate: Rate) -> tuple[Node, Rate]:
        """A window on a denser map: as before at every position that was there before."""
        a = node.args
        names = {argument.name for argument in node.op.arguments}
        if not is_window(node):
            way = ("give `--fully-convolutional` too: it comes first",) if node.op.name in CONVERTED else ()
            raise self.again.refused(node, "what it gives on a denser map does not contain what it gave", *way)
        if max(rate) > 1 and "dilation" not in names:
            raise self.again.refused(node, "it has no dilation")
        pads = a.get("reaching") or a.pads
        if a.get("count_pad") and any(map(any, a.pads)) and pads != a.pads:
            raise self.again.refused(node, "padding counts in its mean, and what `ceil` hangs over the end does not")
        strides = tuple(min(s, self.strides.get(node, s)) for s in a.stride)
        args: dict[str, Any] = {**a, "stride": strides, "pad": [[b * r, e * r] for (b, e), r in zip(pads, rate, strict=True)]}
        if "dilation" in names:
            args["dilation"] = tuple(d * r for d, r in zip(a.dilation, rate, strict=True))
        if "ceil" in names:
            args["ceil"] = False  # the padding says it now
        if "count_pad" in names:
            args["count_pad"] = a.count_pad and any(map(any, a.pads))
        made = self.again.apply(node, args=args)
        if max(rate) > 1 and max(a.kernel) > 1:
            self.dilated.append(node)
        return made, tuple(r * (old // new) for r, old, new in zip(rate, a.stride, strides, strict=True))

    def _remarks(self) -> tuple[str, ...]:
        strides = [f"{node.name} {_one(node.args.stride)} to {stride}" for node, stride in self.strides.items()]
        rates = {name: _one(self.rates[value]) for name, value in self.graph.outputs.items() if value in self.rates}
        outputs = "".join(f"; one in {rate} positions of `{name}` is what it was" for name, rate in rates.items())
        return (f"atrous: strides {listed(strides)}; {len(self.dilated)} layers behind are dilated{outputs}",)


def is_window(node: Node) -> bool:
    """Whether it is a convolution or a pool with one rule for all its windows."""
    return node.op.windowed and node.op.locality_of(node) == "window"


def _require_stride(node: Node, stride: int) -> None:
    """Raise NetError (E1103) unless the layer's stride can be so much less."""
    if node.args.get("indices"):
        why = "its indices are places in windows of this stride, at which `unpool` puts values back"
    elif not is_window(node):
        why = "it is no convolution or pool"
    elif max(node.args.stride) <= stride:
        why = f"its stride is {_one(node.args.stride)} already"
    elif any(s % min(s, stride) for s in node.args.stride):
        why = f"{stride} does not divide {_one(node.args.stride)}"
    else:
        return
    message = f"`{OPTION} {node.name}={stride}` cannot reduce the stride of `{node.name}`: {why}"
    raise NetError(Diagnostic("E1103", message, (Label(node.span),), helps=("name a convolution or pool with a larger stride",),
                              chain=node.chain))  # fmt: skip


def _behind(graph: Graph, value: Value) -> list[Node]:
    """The nodes that a value depends on, in order."""
    found = needed(graph.nodes, [value])
    return [node for node in graph.nodes if node in found]


def _times(rate: Rate | None) -> str:
    return "once" if rate is None else f"{_one(rate)} times"


def _one(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(set(sizes)) == 1 else " x ".join(map(str, sizes))
