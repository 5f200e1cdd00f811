"""What an expression may evaluate to, besides Python's numbers, strings, booleans, lists, tuples, ranges and None.

Tensors are `ir.Value`, symbolic sizes `ir.Size`, initialisations `ir.Init`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from netdsl.diagnostics import Frame, Span, counted
from netdsl.ir import Init, Parameter, Schedule, Size, Value
from netdsl.ops import Argument, Operator, show
from netdsl.record import Record, field
from netdsl.syntax import tree as t


class OpLayer(Record):
    """An operator, perhaps with arguments."""

    op: Operator
    span: Span
    #: the checked arguments by name, and where those that were given are written
    bound: tuple[Mapping[str, Any], Mapping[str, Span]] | None = None


class BlockLayer(Record):
    """A net or block, perhaps with hyperparameters."""

    declaration: t.Function
    module: Module
    span: Span
    bound: Mapping[str, Any] | None = None


class Composition(Record):
    stages: tuple[Layer, ...]
    span: Span


class Repeat(Record):
    count: int
    layer: Layer
    span: Span


class Pinned(Record):
    """`layer @name`. `repeated` when written inside a loop: the name is then indexed wherever it is applied."""

    layer: Layer
    name: str
    repeated: bool
    span: Span


class Shared(Record):
    """A layer bound with `share`: its parameters are made at the first use and kept, in order of creation."""

    name: str
    layer: Layer
    span: Span
    parameters: list[Parameter] = field(default_factory=list)
    uses: list[Span] = field(default_factory=list)


Layer = OpLayer | BlockLayer | Composition | Repeat | Pinned | Shared
LAYERS = (OpLayer, BlockLayer, Composition, Repeat, Pinned, Shared)


class Builtin(Record, eq=True):
    """A function on numbers and lists: `range`, `len`, ..."""

    name: str


class Fact(Record, eq=True):
    """A function that `expect` may call: `receptive_field(x)`. `accepts` tells a good argument, `wants` says it."""

    name: str
    wants: str
    accepts: Callable[[Any], bool]
    compute: Callable[[Any], Any]


class Count(int):
    """A number that `expect` may also ask of a part of the net: `params`, `params("c1")` and `params(x)`."""

    of: Fact


class InitFunction(Record, eq=True):
    """An initialisation that takes arguments: `gaussian(0.01)`."""

    name: str
    arguments: tuple[Argument, ...]


class Recipe(Record, eq=True):
    """An optimizer, a schedule or a transform, to be called with its arguments."""

    kind: str  # optimizer, schedule, prepare, augment
    name: str
    arguments: tuple[Argument, ...]


class Family(Record, frozen=False):
    """Indexed nodes: `node[l, s]`."""

    name: str
    entries: dict[tuple[int, ...], Any] = field(default_factory=dict)

    def ordered(self) -> list[Any]:
        """What was bound, in index order."""
        return [self.entries[key] for key in sorted(self.entries)]


class Poison:
    """The value of a name whose statement failed. Reading it says nothing more."""


POISON = Poison()


class Poisoned(Exception):
    """Raised on reading a poisoned name; the statement that does so is poisoned silently."""


class Place(Record, frozen=False):
    """Where layers are being applied: what names are made of, and the chain of blocks.

    A layer's name is `path/binding.layer[repeat]`: the blocks it is in, the name that its statement binds, the layer,
    and its place in `n * layer` or a comprehension.
    """

    path: str
    chain: tuple[Frame, ...] = ()
    shared: tuple[Sharing, ...] = ()
    repeated: bool = False  # in a loop or a repetition: names given with `@` are indexed
    binding: str = ""
    repeat: tuple[int, ...] = ()

    def under(self, name: str) -> Place:
        return Place(self.within(name), self.chain, self.shared)

    def within(self, name: str) -> str:
        return f"{self.path}/{name}" if self.path else name

    def bound_to(self, name: str) -> Place:
        return Place(self.path, self.chain, self.shared, self.repeated, name, self.repeat)

    def in_loop(self) -> Place:
        return Place(self.path, self.chain, self.shared, True, self.binding, self.repeat)

    def again(self, index: int) -> Place:
        return Place(self.path, self.chain, self.shared, True, self.binding, (*self.repeat, index))


class Sharing(Record, frozen=False):
    """One use of a shared layer: which of its parameters comes next."""

    layer: Shared
    first: bool
    cursor: int = 0

    def next(self) -> Parameter | None:
        """The parameter that the first use made at this point, or None where it made no more."""
        made = self.layer.parameters
        self.cursor += 1
        return made[self.cursor - 1] if self.cursor <= len(made) else None

    def skip(self, parameter: Parameter) -> None:
        """Pass over a parameter that a shared layer within this one has supplied."""
        made = self.layer.parameters
        if not self.first and self.cursor < len(made) and made[self.cursor] is parameter:
            self.cursor += 1


class Module(Record, frozen=False):
    """A file and what it declares; what it imports stands among its own, with the place of the import."""

    file: t.File
    functions: dict[str, Declaration] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    imports: dict[str, Span] = field(default_factory=dict)


class Declaration(NamedTuple):
    """A net or block, and the file whose names it sees."""

    function: t.Function
    module: Module


class Scope(Record, frozen=False):
    """The names of one function being elaborated."""

    function: t.Function | None
    place: Place
    module: Module
    names: dict[str, Any] = field(default_factory=dict)
    loops: tuple[int, ...] = ()  # which pass of each loop around the statement this is


def is_layer(value: Any) -> bool:
    return isinstance(value, LAYERS)


def describe(value: Any) -> str:
    """A value in the user's words, with its article."""
    if isinstance(value, Value):
        return f"a tensor {show(value.shape)}"
    if isinstance(value, OpLayer):
        return "a function" if value.op.style != "layer" else f"the layer `{value.op.name}`"
    if isinstance(value, BlockLayer):
        return f"the {value.declaration.kind} `{value.declaration.name}`"
    if is_layer(value):
        return "a layer"
    if isinstance(value, (Init, InitFunction)):
        return f"the initialisation `{value.kind if isinstance(value, Init) else value.name}`"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"the number {value}" if abs(value) < 10**20 else "a very large number"
    if isinstance(value, str):
        return f'the string "{value if len(value) <= 40 else value[:37] + "..."}"'
    if isinstance(value, (list, tuple)):
        return _describe_several(value)
    for kind, words in (
        (float, f"the number {value}"), (type(None), "none"), (range, "a range"),
        (Family, "a family"), (Size, f"the size {value}"),
        ((Builtin, Fact), "a function"), (Recipe, "a part of a train block"), (Schedule, "a schedule"),
    ):  # fmt: skip
        if isinstance(value, kind):
            return words
    return f"a {type(value).__name__}"


#: lists within lists that are written out
_LEVELS = 3


def _describe_several(values: list[Any] | tuple[Any, ...]) -> str:
    if values and all(isinstance(value, Value) for value in values):
        return ("a list of " if isinstance(values, list) else "") + counted(len(values), "tensor")
    text = shown(values)
    kind = "list" if isinstance(values, list) else "tuple"
    return f"the {kind} {text}" if len(text) <= 40 else f"a {kind} of {counted(len(values), 'item')}"


def shown(value: Any, levels: int = _LEVELS) -> str:
    """A value as it is written in a file."""
    if isinstance(value, (int, Size)) and not isinstance(value, bool):
        separator = "," if levels == _LEVELS else ""  # `[1,024, 32]` would be read as three
        return f"{int(value):{separator}}" if abs(int(value)) < 10**20 else "a very large number"
    if isinstance(value, (list, tuple)):
        items = [shown(item, levels - 1) for item in value[:20]] if levels else []
        text = ", ".join(items + ["..."] * (len(value) > len(items)))
        return f"({text})" if isinstance(value, tuple) else f"[{text}]"
    if isinstance(value, str):
        return describe(value).removeprefix("the string ")
    return str(value) if isinstance(value, float) else describe(value)
