"""Grammar to tables, by lark: run while the package is built, and in a checkout whose grammar was changed.

The build runs this file by itself: it imports nothing of netdsl.
"""

from __future__ import annotations

import re
from typing import Any

STARTS = ["start", "expression_only"]
#: of the tables that this file makes
FORMAT = 1


def generate(grammar: str) -> str:
    """The source text of `_tables.py`."""
    from lark import Lark

    lark = Lark(grammar, parser="lalr", lexer="basic", start=STARTS, maybe_placeholders=False, keep_all_tokens=True)
    tables = (*_lexer(lark), *_parser(lark))
    return (
        f'"""Generated from netdsl.lark: do not edit."""\n\nFORMAT = {FORMAT}\nGRAMMAR = {grammar!r}\nTABLES = {tables!r}\n'
    )


def _lexer(lark: Any) -> tuple[Any, ...]:
    """One pattern for all tokens, in lark's order of preference; words, which NAME would match; and marks."""
    from lark.lexer import PatternStr

    terminals = sorted(
        lark.terminals, key=lambda t: (-t.priority, -t.pattern.max_width, -len(t.pattern.value), t.name)
    )
    name = next(t.pattern.to_regexp() for t in terminals if t.name == "NAME")
    words, marks, parts = {}, {}, []
    for terminal in terminals:
        if not isinstance(terminal.pattern, PatternStr):
            parts.append(f"(?P<{terminal.name}>{terminal.pattern.to_regexp()})")
        elif re.fullmatch(name, terminal.pattern.value):
            words[terminal.pattern.value] = str(terminal.name)
        else:
            marks[terminal.pattern.value] = str(terminal.name)
    longest_first = sorted(marks, key=len, reverse=True)
    parts.append(f"(?P<MARK>{'|'.join(map(re.escape, longest_first))})")
    return "|".join(parts), sorted(map(str, lark.ignore_tokens)), words, marks


def _parser(lark: Any) -> tuple[Any, ...]:
    """Rules and states. What a rule named `_x` makes is spliced into the rule above it, as lark does."""
    from lark.parsers.lalr_analysis import Shift

    made: dict[Any, int] = {}
    rules: list[tuple[Any, ...]] = []
    for rule in lark.rules:
        symbols = [str(symbol.name) for symbol in rule.expansion]
        inlined = [not symbol.is_term and symbol.name.startswith("_") for symbol in rule.expansion]
        spliced = tuple(i for i, is_list in enumerate(inlined) if is_list)
        own = None if rule.origin.name.startswith("_") else str(rule.alias or rule.origin.name)
        made[rule] = len(rules)
        rules.append((str(rule.origin.name), len(symbols), own, spliced, own is None and inlined == [True]))
    table = lark.parser.parser._parse_table
    states = [
        {str(kind): target if action is Shift else ~made[target] for kind, (action, target) in table.states[state].items()}
        for state in sorted(table.states)
    ]
    assert list(range(len(states))) == sorted(table.states)
    for end in table.end_states.values():
        states[end]["$END"] = end  # lark stops there by itself
    return rules, states, {str(start): state for start, state in table.start_states.items()}
