"""The operators, one declaration each; importing this package fills `OPERATORS`."""

from netdsl.ops import convolution
from netdsl.ops.arguments import REQUIRED, Argument
from netdsl.ops.operator import Args, Misfit, Operator, ParamSpec, Site, elements, show
from netdsl.ops.registry import OPERATORS

__all__ = ["OPERATORS", "REQUIRED", "Args", "Argument", "Misfit", "Operator", "ParamSpec", "Site", "elements", "show"]
