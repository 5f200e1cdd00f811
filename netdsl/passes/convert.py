"""Several passes in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from netdsl.ir import Graph
from netdsl.passes.atrous import atrous
from netdsl.passes.chop import chop
from netdsl.passes.conversion import Conversion
from netdsl.passes.fold_bn import fold_bn
from netdsl.passes.fully_convolutional import fully_convolutional
from netdsl.passes.prune_edges import prune_edges


def convert(
    graph: Graph, parameters: Mapping[str, np.ndarray], *, chopped: Sequence[str] = (), threshold: float | None = None,
    convolutional: bool = False, strides: Mapping[str, int] | None = None, folded: bool = False,
) -> Conversion:  # fmt: skip
    """The passes that are asked for, always in this order.

    `chopped`: what is cut off need not be convertible. `threshold` of `prune_edges`: strengths are those of the file's
    weights. `convolutional`: before `strides` of `atrous`, which dilate the convolutions that dense layers became.
    `folded`: last, as it changes weights. Raises NetError.
    """
    done = Conversion(graph, dict(parameters))
    if chopped:
        done = done.then(chop, chopped)
    if threshold is not None:
        done = done.then(prune_edges, threshold)
    if convolutional:
        done = done.then(fully_convolutional)
    if strides:
        done = done.then(atrous, strides)
    if folded:
        done = done.then(fold_bn)
    return done
