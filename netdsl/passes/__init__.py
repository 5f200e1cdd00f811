"""Graph to graph: each pass takes a graph and its parameters and returns a `Conversion`, a new one of both."""

from netdsl.passes.atrous import atrous
from netdsl.passes.chop import chop
from netdsl.passes.conversion import Conversion
from netdsl.passes.convert import convert
from netdsl.passes.fold_bn import fold_bn
from netdsl.passes.fully_convolutional import fully_convolutional
from netdsl.passes.prune_edges import prune_edges

__all__ = ["Conversion", "atrous", "chop", "convert", "fold_bn", "fully_convolutional", "prune_edges"]
