"""What wrong files are answered with, as text: tests/snapshots/ holds each file and, below a line, its messages.

To review a change: NETDSL_WRITE_SNAPSHOTS=1 pytest tests/test_diagnostics_snapshots.py, and read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from net_text import errors

from netdsl.diagnostics.text import render

SNAPSHOTS = sorted((Path(__file__).parent / "snapshots").glob("*.txt"))
LINE = "\n----\n"


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_the_messages_are_as_reviewed(path: Path) -> None:
    text, _, expected = path.read_text(encoding="utf-8").partition(LINE)
    found = "\n\n".join(render(diagnostic) for diagnostic in errors(text)) + "\n"
    if os.environ.get("NETDSL_WRITE_SNAPSHOTS"):
        path.write_text(text + LINE + found, encoding="utf-8")
    else:
        assert found == expected


def test_there_are_snapshots() -> None:
    assert len(SNAPSHOTS) >= 40
