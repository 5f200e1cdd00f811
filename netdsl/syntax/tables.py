"""The parser's tables, as generate.py makes them when the package is built; made anew where the grammar is another.

lark takes 150 ms and more to make them; they load in 1 ms. They are kept as a Python module, `_tables.py`, so that
nothing is unpickled.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from netdsl.syntax.generate import FORMAT, generate
from netdsl.syntax.lalr import Rule, Tables

_HERE = Path(__file__).parent
_MODULE = _HERE / "_tables.py"
#: in a wheel the grammar lies beside this file, in a checkout at the top level
_GRAMMARS = (_HERE / "netdsl.lark", _HERE.parent.parent / "grammars" / "netdsl.lark")


def load() -> Tables:
    """The tables of the grammar as it is."""
    grammar = next(path for path in _GRAMMARS if path.exists()).read_text(encoding="utf-8")
    try:
        module: Any = import_module("netdsl.syntax._tables")
    except ImportError:
        return _rebuilt(grammar)
    if (FORMAT, grammar) != (getattr(module, "FORMAT", None), getattr(module, "GRAMMAR", None)):
        return _rebuilt(grammar)
    return _tables(module.TABLES)


def _tables(parts: Any) -> Tables:
    pattern, ignored, words, marks, rules, states, starts = parts
    return Tables(pattern, frozenset(ignored), words, marks, [Rule(*rule) for rule in rules], states, starts)


def _rebuilt(grammar: str) -> Tables:
    """Build the tables, and keep them where the folder can be written. Needs lark, which `.[dev]` installs."""
    text = generate(grammar)
    scope: dict[str, Any] = {}
    exec(compile(text, "_tables.py", "exec"), scope)  # our own text, generated one line above
    try:
        temporary = _MODULE.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(_MODULE)
    except OSError:
        pass  # a read-only checkout: slower, not wrong
    return _tables(scope["TABLES"])
