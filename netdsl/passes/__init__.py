"""Graph to graph: each pass takes a graph (and its parameters) and returns a new one."""

from netdsl.passes.fold_bn import fold_bn

__all__ = ["fold_bn"]
