"""Records: slotted classes made of their annotations, for what is imported at every start.

What dataclasses are, at a tenth of the cost of defining one (0.7 ms each, and there are fifty): `__init__` is one for
all, and compiled for a class only when many of its records are made. `class Point(Record): x: int; y: int = 0` is frozen
and compared by identity; `eq=True` compares and hashes by the fields, `frozen=False` lets them be set. A default that must
be made anew for each record is `field(default_factory=dict)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, Self, TypeVar, dataclass_transform

T = TypeVar("T")
#: records of a class before its own `__init__` is compiled, which takes as long as making so many
_MANY = 100


class _Made:
    """A default that is called for each record."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """In place of a default: one made anew for each record."""
    return _Made(default_factory)  # type: ignore[return-value]


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(field,))
class _RecordType(type):
    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], *, eq: bool = False, frozen: bool = True
    ) -> _RecordType:
        own = [n for n, kind in namespace.get("__annotations__", {}).items() if not str(kind).startswith("ClassVar")]
        inherited = next((base for base in bases if isinstance(base, _RecordType)), None)
        fields, given = (inherited._fields, inherited._defaults) if inherited else ((), {})  # type: ignore[attr-defined]
        defaults = {n: namespace.pop(n) for n in own if n in namespace}
        namespace["__slots__"] = tuple(own)
        namespace["_left"] = _MANY
        namespace["_fields"], namespace["_defaults"] = (*fields, *own), {**given, **defaults}
        if not frozen:
            namespace.setdefault("__setattr__", object.__setattr__)
        if eq:
            namespace |= {"__eq__": _equal, "__hash__": _hash if frozen else None}
        made = super().__new__(cls, name, bases, namespace)
        # the slots' own setters: quicker than by name, and open to `__init__` where the record is frozen
        setters = tuple(made.__dict__[n].__set__ for n in own)
        made._setters = (*(inherited._setters if inherited else ()), *setters)  # type: ignore[attr-defined]
        return made


class Record(metaclass=_RecordType):
    """Base of records: takes its fields in order or by name."""

    _fields: ClassVar[tuple[str, ...]]
    _defaults: ClassVar[dict[str, Any]]
    _setters: ClassVar[tuple[Callable[[Any, Any], None], ...]]
    _left: ClassVar[int]

    def __init__(self, *values: Any, **named: Any) -> None:
        kind, fields = type(self), self._fields
        kind._left -= 1
        if not kind._left:
            kind.__init__ = _compiled(kind)  # type: ignore[method-assign]
        for setter, value in zip(self._setters, values):
            setter(self, value)
        if len(values) == len(fields) and not named:
            return
        if len(values) > len(fields):
            raise TypeError(f"{type(self).__name__} takes {len(fields)} values, and {len(values)} are given")
        defaults = self._defaults
        for name, setter in zip(fields[len(values) :], self._setters[len(values) :], strict=True):
            if name in named:
                value = named.pop(name)
            elif name in defaults:
                value = defaults[name]
                if type(value) is _Made:
                    value = value.make()
            else:
                raise TypeError(f"{type(self).__name__} needs `{name}`")
            setter(self, value)
        if named:
            raise TypeError(f"{type(self).__name__} has no {', '.join(named)}, or has it already")

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return type(self)(**{**{name: getattr(self, name) for name in self._fields}, **changes})

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is frozen: `replace` makes another")

    def __repr__(self) -> str:
        parts = ", ".join(f"{name}={getattr(self, name, None)!r}" for name in self._fields)
        return f"{type(self).__qualname__}({parts})"


def _compiled(kind: type[Record]) -> Any:
    """An `__init__` that takes the fields of one class by their names."""
    scope: dict[str, Any] = {}
    parameters, lines = ["self"], []
    for index, name in enumerate(kind._fields):
        scope[f"set{index}"], default = kind._setters[index], kind._defaults.get(name, scope)
        scope[f"default{index}"] = default.make if type(default) is _Made else default
        parameters.append(name if default is scope else f"{name}=default{index}")
        made_anew = type(default) is _Made
        value = f"{name}() if {name} is default{index} else {name}" if made_anew else name
        lines.append(f"    set{index}(self, {value})")
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or ["    pass"]), scope)
    return scope["__init__"]


def _values(record: Record) -> tuple[Any, ...]:
    return tuple([getattr(record, name) for name in record._fields])


def _equal(self: Record, other: object) -> Any:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Record) -> int:
    return hash((type(self), _values(self)))
