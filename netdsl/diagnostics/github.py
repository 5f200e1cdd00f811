"""Diagnostics as workflow commands, which GitHub Actions shows at the lines of a pull request."""

from __future__ import annotations

from netdsl.diagnostics.chain import folded
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.diagnostics.layout import printable
from netdsl.diagnostics.place import place, relative

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def workflow_command(diagnostic: Diagnostic) -> str:
    """`::error file=...,line=...,title=E0311::message`, on one line."""
    properties: dict[str, object] = {}
    if diagnostic.labels:
        path, line, column, end_line, end_column = place(diagnostic.labels[0].span)
        properties = {"file": relative(path), "line": line, "col": column, "endLine": end_line, "endColumn": end_column}
        if line != end_line:  # of different lines GitHub takes no columns
            del properties["col"], properties["endColumn"]
    elif diagnostic.path is not None:
        properties = {"file": relative(diagnostic.path)}
    properties["title"] = diagnostic.code
    listed = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{_COMMANDS[diagnostic.severity]} {listed}::{_data(_text(diagnostic))}"


def _text(diagnostic: Diagnostic) -> str:
    """All that is said, since only one place can be shown."""
    lines = [diagnostic.message]
    lines += [f"{label.span}: {label.text}" for label in diagnostic.labels if label.text]
    lines += folded(diagnostic.chain)
    lines += [f"note: {text}" for text in diagnostic.notes] + [f"help: {text}" for text in diagnostic.helps]
    return "\n".join(lines)


def _data(text: str) -> str:
    return "%0A".join(printable(line).replace("%", "%25") for line in text.split("\n"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
