"""The catalogue: what the code of a diagnostic means, one file each in `codes/`; read by `netdsl explain` only.

`codes/E0311.md` starts with `# E0311: a short name of the error`, and says what is wrong and why, in the words of the
field. Blocks of code follow, which the tests run:

- `net fail` is a complete file whose first message has this code, `net ok` the mended one, which has no message at all;
- `net file=blocks/mine.net` is a file that the blocks behind it use; a `small.net` that is not shown is any net for the
  digits that trains for an epoch;
- `python` makes the other files that they use, in the current folder;
- `console fail` and `console ok` are commands behind `$ `, the last of which has such a message, or none;
- `python fail` and `python ok` are the same for the Python interface; `text` is for what no test can run.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "codes"

#: what the codes that begin so are about
FAMILIES = {
    "E01": "syntax and files",
    "E02": "names and types",
    "E03": "shapes",
    "E04": "expect and limits",
    "E05": "train blocks",
    "E06": "data",
    "E07": "checkpoints",
    "E08": "training",
    "E09": "devices and memory",
    "E10": "models on disk",
    "E11": "conversions",
    "W": "warnings",
    "N": "notes",
}


def codes() -> list[str]:
    """Every code there is, in order of the families."""
    families = list(FAMILIES)
    return sorted((path.stem for path in FOLDER.glob("*.md")), key=lambda code: (families.index(family(code)), code))


def family(code: str) -> str:
    """The key of a code's family."""
    return next(prefix for prefix in FAMILIES if code.startswith(prefix))


def text(code: str) -> str:
    """The page of a code."""
    return (FOLDER / f"{code}.md").read_text(encoding="utf-8")


def title(code: str) -> str:
    """The short name of what a code stands for."""
    with open(FOLDER / f"{code}.md", encoding="utf-8") as file:
        return file.readline().partition(": ")[2].strip()
