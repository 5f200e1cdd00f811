"""What all parts of an elaboration share: diagnostics, limits, the nodes so far, and what was decided about sizes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from netdsl.diagnostics import Diagnostic, Label, SourceError, Span
from netdsl.elaborate.values import Place
from netdsl.ir import Constraint, Node, Size, Value
from netdsl.ir.size import Floor
from netdsl.record import Record, field

Items = TypeVar("Items", list[Any], tuple[Any, ...])

if TYPE_CHECKING:
    from netdsl.elaborate.apply import Applier
    from netdsl.elaborate.expressions import Expressions
    from netdsl.elaborate.statements import Statements


#: places of a missing name that are shown besides the first
_MOST_PLACES = 3
#: a run stops at so many different errors, or at so many statements that failed (one in a loop fails each time)
_MOST_ERRORS, _MOST_FAILURES = 100, 500
#: terms of a symbolic size, and its value
_LONGEST_FORMULA, _LARGEST_SIZE = 50, 2**63
#: items in a list with all lists within it, and lists within each other
_MOST_ITEMS, _DEEPEST_LIST = 1_000_000, 50
_LATER: Any = None


class Limits(Record):
    """What a file may cost. Each is raised by an environment variable, which the message names."""

    nodes: int = 100_000  # applications of operators
    steps: int = 3_000_000  # statements run and expressions evaluated, about; a layer counts ten, a block fifty
    blocks: int = 100  # blocks within blocks
    files: int = 100  # files that are imported
    weights: int = 2**32  # numbers in the weights of a net that is compiled: 16 GiB

    @staticmethod
    def from_environment() -> Limits:
        def read(name: str, default: int) -> int:
            text = os.environ.get(name, "")
            return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 19 else default

        usual = Limits()
        return Limits(read("NETDSL_MAX_NODES", usual.nodes), read("NETDSL_MAX_STEPS", usual.steps),
                      read("NETDSL_MAX_BLOCKS", usual.blocks), read("NETDSL_MAX_FILES", usual.files),
                      read("NETDSL_MAX_WEIGHTS", usual.weights))  # fmt: skip


class LimitReached(SourceError):
    """A limit ends the elaboration at once: what follows would only run into it again."""


class Context(Record, frozen=False):
    """The state of one elaboration."""

    limits: Limits
    #: functions whose signatures are wrong: applying one says nothing more
    broken: set[int] = field(default_factory=set)
    nodes: list[Node] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    fixed: dict[str, Constraint] = field(default_factory=dict)
    pins: dict[str, Value] = field(default_factory=dict)
    #: the label that does not count, by target
    ignored: dict[Value, int] = field(default_factory=dict)
    pinned: dict[str, Span] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    #: what `expect` may ask, once the net is known
    facts: Mapping[str, Any] = field(default_factory=dict)
    #: sizes to take in place of those that the net gives its inputs, by name: `H`, or a literal one as `fitting.literal` calls it
    sizes: dict[str, Any] = field(default_factory=dict)
    #: whether literal sizes of inputs are symbols too, and conditions on symbols recorded also where they do not hold
    lenient: bool = False
    steps: int = 0
    failures: int = 0
    _names: dict[tuple[str, str], int] = field(default_factory=dict)
    _reported: set[tuple[str, str, int, int]] = field(default_factory=set)
    #: the layers bound by `=` that were applied, the place of the first time, and whether that was noted
    _applied: dict[int, tuple[Any, Span, bool]] = field(default_factory=dict)

    # set by the driver, which makes them with this context
    apply: Applier = _LATER
    expressions: Expressions = _LATER
    statements: Statements = _LATER

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        place: Place | None = None,
        *,
        label: str = "",
        also: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        helps: tuple[str, ...] = (),
    ) -> SourceError:
        """The exception to raise for an error at a span, with the chain of blocks that leads there."""
        chain = place.chain if place is not None else ()
        return SourceError(Diagnostic(code, message, (Label(span, label), *also), notes, helps, chain))

    def shadows(self, name: str, span: Span, imported: Span, place: Place | None = None) -> SourceError:
        """The error of binding a name that the file imports."""
        return self.error("E0209", f"`{name}` is imported, and cannot be bound", span, place,
                          also=(Label(imported, "imported here"),),
                          helps=(f"choose another name, or import it as another: `import {name} as other`",))  # fmt: skip

    def report(self, error: SourceError) -> None:
        """Keep the diagnostics, one per place: a block that is applied often reports its error once."""
        self.keep(error)
        self.failures += 1
        if len(self.diagnostics) >= _MOST_ERRORS or self.failures >= _MOST_FAILURES:
            raise LimitReached  # what was reported is enough to go on with

    def keep(self, error: SourceError) -> None:
        for diagnostic in error.diagnostics:
            span = diagnostic.labels[0].span if diagnostic.labels else None
            key = (diagnostic.code, span.source.path, span.start, span.end) if span else (diagnostic.code, "", 0, 0)
            if key not in self._reported:
                self._reported.add(key)
                if not self._told_again(diagnostic):
                    self.diagnostics.append(diagnostic)

    def _told_again(self, diagnostic: Diagnostic) -> bool:
        """Whether it is a name that was found missing elsewhere: one error then, with the other places in its picture."""
        if diagnostic.code != "E0201":
            return False
        for index, before in enumerate(self.diagnostics):
            if before.code == "E0201" and before.message == diagnostic.message and before.labels:
                if len(before.labels) <= _MOST_PLACES:
                    here = Label(diagnostic.labels[0].span, "and here")
                    self.diagnostics[index] = before._replace(labels=(*before.labels, here))
                return True
        return False

    def applied(self, layer: Any, name: str, span: Span, place: Place, made: int) -> None:
        """A layer that a name was bound to was applied, and made so many parameters. Twice gets a note."""
        before = self._applied.setdefault(id(layer), (layer, span, False))
        if before[1] is span or before[2] or not made:
            return
        self._applied[id(layer)] = (layer, before[1], True)
        self.notes.append(Diagnostic(
            "N0001", f"`{name}` is applied twice, with two sets of weights",
            (Label(span, "here again"), Label(before[1], "first here")), helps=("`share` makes it one set",),
            chain=place.chain, severity="note",
        ))  # fmt: skip

    def step(self, span: Span, place: Place | None = None, count: int = 1) -> None:
        """Count work done, and stop at the limit."""
        self.steps += count
        if self.steps > self.limits.steps:
            raise self._too_many_steps(span, place)

    def _too_many_steps(self, span: Span, place: Place | None) -> LimitReached:
        return self.limit(f"the file takes more than {self.limits.steps:,} steps to expand", span, place,
                          "NETDSL_MAX_STEPS")  # fmt: skip

    def foresee(self, span: Span, place: Place | None, count: int) -> None:
        """Stop now where so many steps are still to come that the limit will be reached."""
        if count > self.limits.steps:
            shown = f"{count:,}" if count < 10**20 else "an enormous number of"
            raise self.limit(f"this takes {shown} steps, and a file may take {self.limits.steps:,}", span, place,
                             "NETDSL_MAX_STEPS")  # fmt: skip
        if self.steps + count > self.limits.steps:
            raise self._too_many_steps(span, place)

    def too_deep(self, span: Span, place: Place | None) -> LimitReached:
        """What to raise in place of Python's RecursionError."""
        error = self.error("E0104", "expressions or layers are nested too deeply here", span, place,
                           helps=("give an inner part a name, and use the name",))  # fmt: skip
        return LimitReached(*error.diagnostics)

    def made(self, items: Items, span: Span, place: Place | None) -> Items:
        """A list that was made of the items. Lists within it count in full: `a = [a, a]` doubles every time."""
        self.step(span, place, len(items) // 8)
        level = [item for item in items if isinstance(item, (list, tuple))]
        count, depth = len(items), 1
        while level:
            count, depth = count + sum(map(len, level)), depth + 1
            if count > _MOST_ITEMS or depth > _DEEPEST_LIST:
                raise self.error("E0212", "this list is too large: with all the lists within it, it has more than "
                                 f"{_MOST_ITEMS:,} items or {_DEEPEST_LIST} levels", span, place)  # fmt: skip
            level = [part for item in level for part in item if isinstance(part, (list, tuple))]
        return items

    def limit(self, message: str, span: Span, place: Place | None, variable: str, *helps: str) -> LimitReached:
        error = self.error("E0450", message, span, place, helps=(
            *helps, f"if it is meant, set {variable} in the environment to a larger number",))  # fmt: skip
        return LimitReached(*error.diagnostics)

    def unique(self, path: str, base: str, suffix: str = "") -> str:
        """`base` and suffix the first time they are asked for under a path, then `base.1`, `base.2`, ..."""
        key = (path, base + suffix)
        count = self._names.get(key, 0)
        self._names[key] = count + 1
        return base + suffix if count == 0 else f"{base}.{count}{suffix}"

    def name(self, place: Place, layer: str) -> str:
        """The name of a layer that is applied at a place: `main.conv`, `x[2].conv.1`, `skip.conv[0]`."""
        base = f"{place.binding}.{layer}" if place.binding else layer
        return self.unique(place.path, base, f"[{','.join(map(str, place.repeat))}]" if place.repeat else "")

    def indexed(self, path: str, base: str) -> str:
        """`base[0]`, `base[1]`, ... under a path."""
        count = self._names.get((path, base + "[]"), 0)
        self._names[path, base + "[]"] = count + 1
        return f"{base}[{count}]"

    def fix(self, size: Any, why: str, span: Span) -> int:
        """A size as a number; its symbols are fixed at their defaults from now on."""
        if isinstance(size, Size):
            for name in sorted(size.symbols()):
                symbol = self.symbol(name)
                self.fixed.setdefault(name, Constraint(symbol, int(symbol), why, span))
        return int(size)

    def simple(self, size: Any, span: Span) -> Any:
        """The size, or where its formula has grown long, its number."""
        pending, count = [size], 0
        while pending and isinstance(size, Size):
            atoms = [atom for atom, _ in pending.pop().terms]
            pending += [atom.numerator for atom in atoms if isinstance(atom, Floor)]
            count += len(atoms)
            if count > _LONGEST_FORMULA or abs(int(size)) > _LARGEST_SIZE:
                return self.fix(size, "its formula has become too long to stay symbolic", span)
        return size

    def symbol(self, name: str) -> Size:
        return Size.symbol(name, self.symbols[name])
