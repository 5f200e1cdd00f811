"""The parser's tables: generated from the grammar when the package is built, loaded when it is used.

Building the tables takes 150 ms and more, loading them 3 ms. They are written as a Python module, `_tables.py`, so
that nothing is unpickled; in a checkout whose grammar is another they are built anew.
"""

from __future__ import annotations

import hashlib
import os
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from lark import Lark
from lark import __version__ as lark_version

_HERE = Path(__file__).parent
_MODULE = _HERE / "_tables.py"
#: in a wheel the grammar lies beside this file, in a checkout at the top level
_GRAMMARS = (_HERE / "netdsl.lark", _HERE.parent.parent / "grammars" / "netdsl.lark")
_STARTS = ["start", "expression_only"]


def grammar_path() -> Path:
    return next(path for path in _GRAMMARS if path.exists())


def generate(grammar: str) -> str:
    """The source text of `_tables.py`."""
    from lark.grammar import Rule
    from lark.lexer import TerminalDef

    lark = Lark(grammar, parser="lalr", lexer="basic", start=_STARTS, maybe_placeholders=False, keep_all_tokens=True)
    data, memo = lark.memo_serialize([TerminalDef, Rule])
    made_of = _made_of(grammar)
    return f'"""Generated from netdsl.lark: do not edit."""\n\nMADE_OF = {made_of!r}\nDATA = {data!r}\nMEMO = {memo!r}\n'


def _made_of(grammar: str) -> tuple[str, str]:
    """What tables depend on: the grammar, and lark's major version. Times of files say little after an install."""
    return hashlib.sha256(grammar.encode()).hexdigest(), lark_version.partition(".")[0]


def load(**options: Any) -> Lark:
    """A parser with the given transformer and postlex."""
    grammar = grammar_path().read_text(encoding="utf-8")
    try:
        tables = import_module("netdsl.syntax._tables")
    except ImportError:
        return _rebuilt(grammar, options)
    if getattr(tables, "MADE_OF", None) != _made_of(grammar):
        return _rebuilt(grammar, options)
    return _lark(tables.DATA, tables.MEMO, options)


def _lark(data: Any, memo: Any, options: dict[str, Any]) -> Lark:
    """A parser from its tables: what lark's own standalone parsers call."""
    return cast(Lark, Lark._load_from_dict(data, memo, **options))  # type: ignore[no-untyped-call]


def _rebuilt(grammar: str, options: dict[str, Any]) -> Lark:
    """Build the tables, and keep them where the folder can be written."""
    text = generate(grammar)
    scope: dict[str, Any] = {}
    exec(compile(text, "_tables.py", "exec"), scope)  # our own text, generated one line above
    try:
        temporary = _MODULE.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(_MODULE)
    except OSError:
        pass  # a read-only checkout: slower, not wrong
    return _lark(scope["DATA"], scope["MEMO"], options)
