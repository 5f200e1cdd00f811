"""A diagnostic as the snapshots have it: all that it says, and the text that it marks in place of a picture of it.

How pictures are drawn is held by test_render.py.
"""

from netdsl.diagnostics.chain import folded

#: the name of the file that a snapshot is about
NAME = "test.net"


def brief(diagnostic):
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    lines += [f" at {place(label.span)}" + f": {label.text}" * bool(label.text) for label in diagnostic.labels]
    lines += [f" {frame.replace(NAME + ':', '')}" for frame in folded(diagnostic.chain)]
    lines += [f" note: {text}" for text in diagnostic.notes] + [f" help: {text}" for text in diagnostic.helps]
    return "\n".join(lines)


def place(span):
    """Line, column and the text there; of several lines, the first and where the last one ends."""
    first, *more = span.text.split("\n")
    end = f" to {span.line + len(more)}:{len(more[-1]) + 1}" if more else ""
    return f"{span} `{first}`{end}".removeprefix(f"{NAME}:")
