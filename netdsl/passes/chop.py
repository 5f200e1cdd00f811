"""Cut a net off behind a layer: what is left extracts features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netdsl.ir import Graph, verify
from netdsl.passes.conversion import Conversion, kept, listed, pruned
from netdsl.passes.layers import value_named


def chop(graph: Graph, parameters: Mapping[str, np.ndarray], names: Sequence[str]) -> Conversion:
    """The net up to the named layers or values, which become its outputs under these names.

    Before: `parameters` has every parameter of `graph.parameters()` by name. Afterwards: nodes, values and parameters
    that the outputs need are the same objects, so that outputs are equal bit for bit; all others are gone, inputs of
    which nothing is read, not even a size, included. A train block stays as it is: what only the loss still reads belongs
    to it from now on, as an auxiliary head does. Raises NetError (E1102) where there is no such layer.
    """
    outputs = {name: value_named(graph, name) for name in names}
    chopped = pruned(graph.replace(outputs=outputs))
    places = {node.span for node in graph.all_nodes} - {node.span for node in chopped.all_nodes}
    # what asks for certain sizes behind the cut asks no more
    chopped = chopped.replace(constraints=tuple(c for c in graph.constraints if c.span not in places))
    verify(chopped)
    gone = len(graph.nodes) - len(chopped.nodes)
    remark = f"chopped: {listed(outputs)} {'is the output' if len(outputs) == 1 else 'are the outputs'}, {gone} layers are gone"
    return Conversion(chopped, kept(chopped, parameters), (remark,))
