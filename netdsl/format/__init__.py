"""The one layout of .net files.

tokens -> pieces (build, frames, settle) -> lines (layout, breaks, writer). Nothing is taken from the syntax tree,
which knows no comments and no parentheses: it says before that the file is of the language, and afterwards that the
formatted one means the same.
"""

from __future__ import annotations

from netdsl.diagnostics import Diagnostic, Source, SourceError
from netdsl.format.build import build
from netdsl.format.layout import lay_out
from netdsl.format.verify import same_comments, same_tree
from netdsl.format.writer import TooLong
from netdsl.syntax import parse
from netdsl.syntax.parser import MAX_CHARACTERS
from netdsl.syntax.tree import File

__all__ = ["format_source"]


def format_source(source: Source) -> str:
    """The text of a file, formatted. Raises SourceError where it is not of the language."""
    tree = parse(source)
    try:
        text = lay_out(build(source.text), MAX_CHARACTERS)
    except TooLong:
        raise SourceError(Diagnostic(
            "E0102", f"formatted, the file would have more than the {MAX_CHARACTERS:,} characters that are read",
            path=source.path, helps=("split it, or build the repetition with `for`",),
        )) from None  # fmt: skip
    if not _kept(Source(source.path, text), source, tree):
        raise SourceError(_not_kept(source))
    return text


def _kept(formatted: Source, source: Source, tree: File) -> bool:
    """Whether what was formatted means and says the same."""
    try:
        return same_tree(parse(formatted), tree) and same_comments(formatted, source)
    except SourceError:
        return False


def _not_kept(source: Source) -> Diagnostic:
    return Diagnostic(
        "E0112", "formatted, the file would not mean the same or lose a comment: it is left as it is",
        path=source.path, notes=("this is an error in netdsl, and none in the file",),
        helps=("report it, with the file; every other command takes the file as it is",),
    )  # fmt: skip
