"""What an operator is: one class, declared once, from which everything else about it is derived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, NoReturn

from netdsl.ir.graph import DType, Init, Shape, TensorType, Value
from netdsl.ir.size import Dim, Size
from netdsl.ops.arguments import REQUIRED, Argument
from netdsl.ops.reach import Reach, Unseen
from netdsl.record import Record, field

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder

#: how a position of the outputs depends on the inputs; see `Operator.locality`
Locality = Literal["element", "position", "window"]

#: no tensor or weight of a network comes near it (4 TiB of float32), and products of sizes stay within int64
MOST_ELEMENTS = 2**40


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


class ParamSpec(NamedTuple):
    """A parameter that an application needs: shape (concrete), initialisation, fans."""

    shape: tuple[int, ...]
    init: Init
    fan_in: int = 1
    fan_out: int = 1
    trainable: bool = True
    buffer: bool = False
    mask: tuple[tuple[int, ...], ...] | None = None


def bias_of(args: Args, *shape: int) -> dict[str, ParamSpec]:
    """The parameter that the argument `bias` (of the kind `BIAS`) asks for; or none."""
    init = Init("zeros") if args.bias is True else args.bias
    return {"bias": ParamSpec(shape, init, trainable=args.trainable)} if args.bias else {}


class Rule(NamedTuple):
    """How the output's shape follows from the inputs', and under which condition on the arguments, for the reader.

    `[C, n...] -> [channels, ceil(n / stride)...]`: sizes are named on the left and computed on the right. `n...` is each of
    the spatial sizes, `...` all axes that are left. The tests hold it against `Operator.infer`.
    """

    formula: str
    when: str = ""


class Site(Record, frozen=False):
    """What a rule sees of one application: bound arguments, input tensors, and how they read in the file.

    Rules compute with `int | Size` alike. They look at a size's default only through `fix`, `same`, `at_least` and
    `exists`, so that what a rule decided is recorded.
    """

    args: Args
    inputs: tuple[Value, ...]
    labels: tuple[str, ...]
    fixes: list[tuple[Size, str]] = field(default_factory=list)
    joins: list[tuple[Dim, Dim, str]] = field(default_factory=list)
    bounds: list[tuple[Dim, Dim, str]] = field(default_factory=list)
    #: whether to record a condition on symbolic sizes also where the defaults do not meet it: to find what would
    lenient: bool = False

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
        if a == b:
            return True
        if isinstance(a - b, int) or not (self.lenient or int(a) == int(b)):
            return False
        self.joins.append((a, b, why))
        return True

    def at_least(self, a: Dim, b: Dim, why: str) -> bool:
        """Whether a size is as large as another, or larger. What the symbols decide is recorded as a constraint."""
        difference = a - b
        if isinstance(difference, int):
            return difference >= 0
        if not self.lenient and int(difference) < 0:
            return False
        self.bounds.append((a, b, why))
        return True

    def exists(self, size: Dim) -> bool:
        """Whether an output's size is at least 1. Nothing is recorded: the graph has the sizes of all tensors."""
        return int(size) >= 1 or (self.lenient and isinstance(size, Size))


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
    #: what `infer` does, for the reader
    rules: ClassVar[tuple[Rule, ...]] = (Rule("[...] -> [...]"),)
    #: the parameters, each with its shape in the names of the rules and arguments, and when there is one:
    #: `bias [channels] where bias`
    owns: ClassVar[tuple[str, ...]] = ()
    #: one line on what is counted as MACs
    multiplies: ClassVar[str] = "none"
    #: one line on what is counted as FLOPs besides 2 x MACs
    cost: ClassVar[str] = "one FLOP per output element"
    #: the element types that inputs may have
    dtypes: ClassVar[frozenset[DType]] = frozenset({"float32"})
    #: whether all inputs must have a batch axis; else one without is the same for every sample
    batched: ClassVar[bool] = True
    #: for each operand of a function, the argument that holds a number or a list of them in its place; None where there
    #: must be a tensor
    numbers: ClassVar[tuple[str | None, ...]] = ()
    #: whether its gradient is of use: false where it is zero wherever it exists
    differentiable: ClassVar[bool] = True
    #: whether its outputs are a tuple even where there is one
    tupled: ClassVar[bool] = False
    #: whether a file cannot bind its name
    reserved: ClassVar[bool] = True
    #: the sign that means this operator between tensors (`+`), or before one, where there is one
    symbol: ClassVar[str | None] = None
    #: what an output position depends on, by one rule for all positions, whatever the maps' size: "element": the input
    #: elements at its own place; "position": all channels at its own place; "window": the positions that `reaches` tells.
    #: None: anything else (the whole map, its size, weights for each position). Passes that change sizes, `netdsl
    #: convert --fully-convolutional` and `--atrous`, refuse what is None.
    locality: ClassVar[Locality | None] = None
    #: whether each output element is computed from a window of the input, whose `kernel`, `stride`, `dilation` and `pads`
    #: along each axis `resolve` puts into the arguments
    windowed: ClassVar[bool] = False
    #: whether it makes zeros of zeros in its first input
    keeps_zeros: ClassVar[bool] = False
    #: what its gradient reads of the forward pass, so that a training step keeps it: the inputs, the outputs
    saves: ClassVar[tuple[Literal["inputs", "outputs"], ...]] = ("inputs",)
    #: whether it reads them for the gradients of its parameters only, so that it keeps nothing where these are frozen
    saves_for_parameters: ClassVar[bool] = False
    #: how many further tensors of float32 in the first input's shape, which its lowering computes on the way, it reads
    saves_steps: ClassVar[int] = 0
    #: whether its output is the input's memory, seen in another shape
    is_view: ClassVar[bool] = False
    #: for how many of its first inputs the gradient is the output's, not another tensor
    passes_gradient: ClassVar[int] = 0

    @property
    def written(self) -> str:
        """How an operator with a sign stands between its operands: `a + b`, `-a`."""
        if self.arity == (1, 1):
            return f"{self.symbol} a" if self.symbol and self.symbol.isalpha() else f"{self.symbol}a"
        return f"a {self.symbol} b"

    @property
    def called(self) -> str:
        """How a function is called: `exp(a)`, `concat(a, b)`, `slice(a, ...)`."""
        _, most = self.arity
        operands = "abc"[: 2 if most is None else max(most, len(self.numbers))]
        needed = any(argument.default is REQUIRED for argument in self.arguments)
        return f"{self.name}({', '.join([*operands, *['...'] * needed])})"

    def resolve(self, site: Site) -> None:
        """Put defaults that depend on the input (per-axis lists, paddings) into `site.args`.

        A pass that changes an input resolves again what was resolved: the result depends on the declared arguments alone.
        """

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        """The output types. The default is one output of `shape(site)` and `dtype(site)`, batched if an input is."""
        self.check_inputs(site)
        dtype, shape = self.dtype(site), self.shape(site)
        if elements(shape) > MOST_ELEMENTS:
            site.fail("E0319", f"`{self.name}` would make {show(shape)}: {elements(shape):,} numbers per sample",
                      helps=("fewer channels, a pooling or a stride before it make it smaller",))  # fmt: skip
        return (TensorType(shape, dtype, any(value.type.batched for value in site.inputs)),)

    def check_parameters(self, site: Site, specs: Mapping[str, ParamSpec]) -> None:
        """Reject weights (of `parameters(site)`) beyond all measure."""
        for role, spec in specs.items():
            if (count := elements(spec.shape)) > MOST_ELEMENTS:
                site.fail("E0319", f"the {role} of `{self.name}` would be {show(spec.shape)}: {count:,} numbers, and "
                          f"{MOST_ELEMENTS:,} are the most",
                          helps=("fewer units or channels, or a pooling before it, make it smaller",))  # fmt: skip

    def check_inputs(self, site: Site) -> None:
        """Reject inputs of a wrong element type, or without the batch axis where one is needed."""
        for label, value in zip(site.labels, site.inputs, strict=True):
            if value.type.dtype not in self.dtypes:
                helps: tuple[str, ...] = ()
                if value.type.dtype == "bool":
                    helps = ("`where(c, 1, 0)` makes numbers of it",)
                elif self.dtypes == {"bool"}:
                    helps = ("a comparison makes one: `x > 0`",)
                elif self.dtypes == {"int64"}:
                    helps = ("an input of whole numbers is declared so: `int words[20]`",)
                site.fail("E0320", f"`{self.symbol or self.name}` computes with {' or '.join(sorted(self.dtypes))}, and "
                          f"{label} is {value.type.dtype}", helps=helps)  # fmt: skip
        self.check_batches(site)

    def check_batches(self, site: Site) -> None:
        """Reject inputs without the batch axis where one is needed."""
        for label, value in zip(site.labels, site.inputs, strict=True):
            if self.batched and not value.type.batched:
                site.fail("E0308", f"`{self.name}` needs a tensor with a batch axis, and {label} is unbatched",
                          helps=("it is the same for every sample: combine it with a batched tensor first",))  # fmt: skip

    def dtype(self, site: Site) -> DType:
        """The output's element type; the default is the first input's."""
        return site.inputs[0].type.dtype

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

    def choices(self, node: Node, index: int) -> int | None:
        """How many whole numbers, from 0 on, input `index` may hold; None: it holds others, or any."""
        return None

    def reach(self, node: Node) -> tuple[Reach, ...] | None:
        """Per spatial axis, what input interval an output position sees; None: everything (flatten, global pool).

        The default is element-wise.
        """
        return tuple(Reach() for _ in node.output.shape[1:])

    def reaches(self, node: Node) -> tuple[tuple[Reach, ...] | Unseen | None, ...]:
        """What an output position sees of each input, in the order of `node.inputs`; analysis asks only this.

        Per input: one Reach for each spatial axis; None: all of that input; `UNSEEN`: none of its numbers (only its
        size counts, as for `crop_like`'s second input). An axis along which the input has size 1 and is stretched
        has stride 0. The default gives `reach(node)` to every input.
        """
        reach = self.reach(node)
        return tuple(reach for _ in node.inputs)

    def reaches_by_output(self, node: Node) -> tuple[tuple[tuple[Reach, ...] | Unseen | None, ...], ...]:
        """`reaches` for each output, where they differ; the default has them all see the same."""
        return (self.reaches(node),) * len(node.outputs)

    def locality_of(self, node: Node) -> Locality | None:
        """`locality` of one application, where its arguments decide, such as an axis."""
        return self.locality

    def saved(self, node: Node) -> tuple[Value, ...]:
        """`saves` of one application, where its arguments decide."""
        if self.saves_for_parameters and not any(p.trainable for p in node.parameters.values()):
            return ()
        return tuple(value for side in self.saves for value in getattr(node, side))

    def saved_besides(self, node: Node) -> int:
        """Bytes for each sample of what else its gradient reads: masks, places of maxima, steps of its lowering.

        What has one number per channel, or one per position, is left out. The default is `saves_steps`.
        """
        return self.saves_steps * float_bytes(node.inputs[0]) if self.saves_steps else 0

    def gradient_workspace(self, node: Node, batch: int) -> int:
        """Bytes that its gradient takes for a time besides what it reads and gives; the default is a tensor like the output.

        Of tensors that live one after the other only those that are alive at once.
        """
        return batch * float_bytes(node.output)

    def lower(self, node: Node, b: Builder) -> str | tuple[str, ...]:
        """Emit ONNX operators through the builder; return the output name(s)."""
        raise NotImplementedError(self.name)


def require_channels(site: Site, what: str) -> None:
    """Reject a tensor without axes."""
    if not site.inputs[0].shape:
        site.fail("E0301", f"`{what}` works per channel, and {site.labels[0]} has none")


def elements(shape: Shape) -> int:
    """The number of elements at the default sizes."""
    total = 1
    for dim in shape:
        total *= int(dim)
    return total


def float_bytes(*values: Value) -> int:
    """Bytes for each sample of tensors of float32 in the shapes of the values."""
    return 4 * sum(elements(value.shape) for value in values)


def show(shape: Shape) -> str:
    """A shape as the user writes it: `[64, H, 32]`, symbolic sizes with their default."""
    return "[" + ", ".join(map(show_size, shape)) + "]"


def show_size(dim: Dim) -> str:
    """A size as the user writes it, a symbolic one with its default: `H=32`."""
    return f"{dim}={int(dim)}" if isinstance(dim, Size) else str(dim)
