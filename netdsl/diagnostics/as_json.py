"""Diagnostics as JSON."""

from __future__ import annotations

from typing import Any

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.diagnostics.place import place


def to_dict(diagnostic: Diagnostic) -> dict[str, Any]:
    return {
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "labels": [{**place(label.span)._asdict(), "text": label.text} for label in diagnostic.labels],
        "chain": [{"block": f.block, "path": f.span.source.path, "line": f.span.line} for f in diagnostic.chain],
        "notes": list(diagnostic.notes),
        "helps": list(diagnostic.helps),
        "path": diagnostic.path,
    }
