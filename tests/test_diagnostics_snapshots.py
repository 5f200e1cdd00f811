"""What wrong files are answered with, as text: tests/snapshots/ holds each file and, below a line, its messages
as `brief.py` writes them.

A file has one error, or as many as its first lines say: `# errors: 3`. Files that it imports stand before it, each under
a line `==== blocks/mine.net`, and the file itself under `==== test.net`.

To review a change: NETDSL_WRITE_SNAPSHOTS=1 pytest tests/test_diagnostics_snapshots.py, and read the difference.
"""

import io
import os
import re
from pathlib import Path

import pytest
from brief import NAME, brief

from netdsl.analysis import check_expectations
from netdsl.diagnostics import SourceError
from netdsl.elaborate import elaborate
from netdsl.elaborate.sources import read_stream

SNAPSHOTS = sorted((Path(__file__).parent / "snapshots").glob("*.txt"))
LINE = "\n----\n"
_FILE = re.compile(r"^==== (\S+)\n", re.MULTILINE)
_COUNT = re.compile(r"^# errors: (\d+)$", re.MULTILINE)


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: path.stem)
def test_the_messages_are_as_reviewed(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, _, expected = path.read_text(encoding="utf-8").partition(LINE)
    diagnostics = messages(laid_out(before))
    found = "\n\n".join(map(brief, diagnostics)) + "\n"
    if os.environ.get("NETDSL_WRITE_SNAPSHOTS"):
        path.write_text(before + LINE + found, encoding="utf-8")
    else:
        assert found == expected
    count = _COUNT.search(before)
    assert len(diagnostics) == (int(count[1]) if count else 1), "an error was not found, or it was said twice"


def laid_out(text):
    """The text of the file itself; the others are written into the current folder."""
    parts = _FILE.split(text)
    for name, content in zip(parts[1::2], parts[2::2], strict=True):
        if name == NAME:
            return content
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(content, encoding="utf-8")
    return text


def messages(text):
    """What `netdsl check` says of the text, read as it reads a file."""
    try:
        source = read_stream(io.BytesIO(text.encode()), NAME)
        check_expectations(elaborate(source))
    except SourceError as error:
        return error.diagnostics
    return []


def test_there_are_snapshots():
    assert len(SNAPSHOTS) >= 150
