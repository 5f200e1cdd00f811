"""The text of a .net file and its syntax tree."""

from netdsl.syntax import tree
from netdsl.syntax.parser import parse, parse_expression

__all__ = ["parse", "parse_expression", "tree"]
