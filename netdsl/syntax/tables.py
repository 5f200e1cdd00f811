"""The parser's tables, as generate.py makes them when the package is built; made anew where the grammar is another.

lark takes 150 ms and more to make them; they load in 1 ms. They are kept as a Python module, `_tables.py`, so that
nothing is unpickled.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from netdsl.syntax.generate import FORMAT, generate
from netdsl.syntax.lalr import Rule, Tables

_HERE = os.path.dirname(__file__)
_MODULE = os.path.join(_HERE, "_tables.py")
#: in a wheel the grammar lies beside this file, in a checkout at the top level
_GRAMMARS = (os.path.join(_HERE, "netdsl.lark"), os.path.join(_HERE, "..", "..", "grammars", "netdsl.lark"))


def load() -> Tables:
    """The tables of the grammar as it is."""
    with open(next(filter(os.path.exists, _GRAMMARS)), encoding="utf-8") as file:
        grammar = file.read()
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
        temporary = f"{_MODULE}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, _MODULE)
    except OSError:
        pass  # a read-only checkout: slower, not wrong
    return _tables(scope["TABLES"])
