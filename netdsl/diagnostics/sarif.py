"""Diagnostics as SARIF 2.1.0, the format that code scanning services and editors read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from netdsl.diagnostics import catalogue
from netdsl.diagnostics.diagnostic import Diagnostic, Frame, Label
from netdsl.diagnostics.place import place, relative
from netdsl.diagnostics.source import Span
from netdsl.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(diagnostics: Sequence[Diagnostic]) -> dict[str, Any]:
    """One run of the tool."""
    codes = sorted({d.code for d in diagnostics})
    driver = {"name": "netdsl", "version": __version__, "semanticVersion": __version__, "rules": list(_rules(codes))}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, codes.index(d.code)) for d in diagnostics],
    }
    return {"version": "2.1.0", "$schema": SCHEMA, "runs": [run]}


def _rules(codes: Iterable[str]) -> Iterable[dict[str, Any]]:
    described = set(catalogue.codes())
    for code in codes:
        rule: dict[str, Any] = {"id": code, "help": {"text": f"`netdsl explain {code}` says more"}}
        if code in described:
            rule["shortDescription"] = {"text": catalogue.title(code)}
        yield rule


def _result(diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    lines = [diagnostic.message]
    lines += [f"note: {text}" for text in diagnostic.notes] + [f"help: {text}" for text in diagnostic.helps]
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": "\n".join(lines)},
    }
    if diagnostic.labels:
        first, *others = diagnostic.labels
        result["locations"] = [_location(first)]
        result["relatedLocations"] = [{"id": number, **_location(label)} for number, label in enumerate(others, 1)]
    elif diagnostic.path is not None:
        result["locations"] = [{"physicalLocation": {"artifactLocation": {"uri": _uri(diagnostic.path)}}}]
    if diagnostic.chain:
        frames = [{"location": _applied(frame)} for frame in reversed(diagnostic.chain)]
        result["stacks"] = [{"message": {"text": "the blocks through which this was reached"}, "frames": frames}]
    return result


def _location(label: Label) -> dict[str, Any]:
    location = _physical(label.span)
    return {**location, "message": {"text": label.text}} if label.text else location


def _applied(frame: Frame) -> dict[str, Any]:
    text = f"block `{frame.block}` is applied here"
    return {**_physical(frame.span), "logicalLocations": [{"name": frame.block}], "message": {"text": text}}


def _physical(span: Span) -> dict[str, Any]:
    path, line, column, end_line, end_column = place(span)
    region = {"startLine": line, "startColumn": column, "endLine": end_line, "endColumn": end_column}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(path)}, "region": region}}


def _uri(path: str) -> str:
    path = relative(path)
    return ("file://" if os.path.isabs(path) else "") + quote(os.fsencode(path))
