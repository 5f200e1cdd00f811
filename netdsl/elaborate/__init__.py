"""From the syntax tree to the graph IR."""

from netdsl.elaborate.context import Limits
from netdsl.elaborate.elaborate import Elaboration, Expectation, elaborate, load, load_text, read_source

__all__ = ["Elaboration", "Expectation", "Limits", "elaborate", "load", "load_text", "read_source"]
