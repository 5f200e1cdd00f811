"""What an operator is: one class, declared once, from which everything else about it is derived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from netdsl.ir.graph import Init, Shape, TensorType, Value
from netdsl.ir.size import Dim, Size
from netdsl.ops.arguments import Argument
from netdsl.ops.reach import Reach

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


class Args(dict[str, Any]):
    """An operator's bound arguments, read as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Misfit(Exception):
    """An operator's rule does not hold at this application. The elaborator adds place and chain."""

    def __init__(self, code: str, message: str, notes: Sequence[str], helps: Sequence[str], argument: str | None):
        super().__init__(message)
        self.code, self.message, self.notes, self.helps = code, message, tuple(notes), tuple(helps)
        self.argument = argument


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A parameter that an application needs: shape (concrete), initialisation, fans."""

    shape: tuple[int, ...]
    init: Init
    fan_in: int = 1
    fan_out: int = 1
    trainable: bool = True
    buffer: bool = False
    mask: tuple[tuple[int, ...], ...] | None = None


@dataclass
class Site:
    """What a rule sees of one application: bound arguments, input tensors, and how they read in the file.

    Rules compute with `int | Size` alike. They never look at a size's default except through `fix` and `same`, so
    that what a rule decided is recorded.
    """

    args: Args
    inputs: tuple[Value, ...]
    labels: tuple[str, ...]
    fixes: list[tuple[Size, str]] = field(default_factory=list)
    joins: list[tuple[Dim, Dim, str]] = field(default_factory=list)

    def fail(
        self, code: str, message: str, *, notes: Sequence[str] = (), helps: Sequence[str] = (), at: str | None = None
    ) -> NoReturn:
        """Reject the application. `at` names the argument to underline."""
        raise Misfit(code, message, notes, helps, at)

    def fix(self, dim: Dim, why: str) -> int:
        """The dimension as a number. A symbolic one is from now on fixed at its default, because of `why`."""
        if isinstance(dim, Size):
            self.fixes.append((dim, why))
        return int(dim)

    def same(self, a: Dim, b: Dim, why: str) -> bool:
        """Whether two sizes agree. If they do at the defaults only, the condition is recorded as a constraint."""
        if int(a) != int(b):
            return False
        if a != b:
            self.joins.append((a, b, why))
        return True


class Operator:
    """One operator. Subclass, fill in, and register with `@operator`.

    The rules take a `Site` (before outputs exist) or a `Node` (afterwards).
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    arguments: ClassVar[tuple[Argument, ...]] = ()
    example: ClassVar[str]
    #: least and greatest number of input tensors; None: any number
    arity: ClassVar[tuple[int, int | None]] = (1, 1)
    #: `layer`: applied with `->`; `function`: called with tensors in parentheses; `loss`: a function of the train block
    style: ClassVar[Literal["layer", "function", "loss"]] = "layer"
    #: one line on what is counted as FLOPs besides 2 x MACs
    cost: ClassVar[str] = "one FLOP per output element"

    def resolve(self, site: Site) -> None:
        """Put defaults that depend on the input (per-axis lists, paddings) into `site.args`."""

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        """The output types. The default is one output of `shape(site)`, of the first input's kind."""
        first = site.inputs[0].type
        return (TensorType(self.shape(site), first.dtype, any(v.type.batched for v in site.inputs)),)

    def shape(self, site: Site) -> Shape:
        """The output shape without batch; the default keeps the first input's."""
        return site.inputs[0].shape

    def parameters(self, site: Site) -> dict[str, ParamSpec]:
        """The parameters by role (`weight`, `bias`, ...)."""
        return {}

    def macs(self, node: Node) -> int:
        """Multiply-accumulates per sample at the default sizes."""
        return 0

    def flops(self, node: Node) -> int:
        """Floating-point operations per sample besides 2 x MACs."""
        return elements(node.output.shape)

    def reach(self, node: Node) -> tuple[Reach, ...] | None:
        """Per spatial axis, what input interval an output position sees; None: everything (flatten, global pool).

        The default is element-wise. With several inputs the same reach holds for each.
        """
        return tuple(Reach() for _ in node.output.shape[1:])

    def lower(self, node: Node, b: Builder) -> str | tuple[str, ...]:
        """Emit ONNX operators through the builder; return the output name(s)."""
        raise NotImplementedError(self.name)


def elements(shape: Shape) -> int:
    """The number of elements at the default sizes."""
    total = 1
    for dim in shape:
        total *= int(dim)
    return total


def show(shape: Shape) -> str:
    """A shape as the user writes it: `[64, H, 32]`, symbolic sizes with their default."""
    return "[" + ", ".join(f"{dim}={int(dim)}" if isinstance(dim, Size) else str(dim) for dim in shape) + "]"
