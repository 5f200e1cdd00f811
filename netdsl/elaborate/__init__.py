"""From the syntax tree to the graph IR."""

from netdsl.elaborate.context import Limits
from netdsl.elaborate.elaborate import Elaboration, Expectation, elaborate, elaborate_all, load, load_text
from netdsl.elaborate.sources import read_source

__all__ = ["Elaboration", "Expectation", "Limits", "elaborate", "elaborate_all", "load", "load_text", "read_source"]
