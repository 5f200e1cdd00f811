"""The table that `netdsl analyze` prints."""

from __future__ import annotations

from textwrap import wrap

from netdsl.report.conventions import CONVENTIONS
from netdsl.report.fold import SCREEN, Row, rows
from netdsl.report.record import ReceptiveField, Report, Tensor

_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
#: in the order of the table
_COLUMNS = ("layer", "output", "params", "MACs", "FLOPs", "receptive field")
#: what gets a place first where the terminal is narrow
_BY_WORTH = ("params", "output", "MACs", "receptive field", "FLOPs")
_LEAST_NAME = 16
#: rows before the gap in a table that is too long
_HEAD = SCREEN - SCREEN // 3
_PER_SAMPLE = "Counts are per sample, at the default sizes."


def table(report: Report, depth: int | None = None, width: int = 100, colour: bool = False) -> str:
    """The report as text: layers with `depth` levels of blocks unfolded, totals, constraints, what the figures count.

    Unless a depth is given the middle of a table that is longer than a screen is left out.
    """
    shown = rows(report.layers, depth)
    lines = [*wrap(_heading(report), width, subsequent_indent="  "), ""]
    hidden = len(shown) - SCREEN if depth is None else 0
    if hidden > 0:
        shown = shown[:_HEAD] + shown[_HEAD + hidden :]
    lines += _grid([_cells(row) for row in shown], width, colour)
    if hidden > 0:
        lines.insert(_HEAD - SCREEN, f"... {hidden:,} more rows: --depth 0 prints them all")
    lines += ["", *_totals(report)]
    if report.constraints:
        lines += ["", *(line for text in report.constraints for line in wrap(text, width, subsequent_indent="  "))]
    lines.append("")
    terms = [term for term in CONVENTIONS if term != "training" or report.training_memory is not None]
    for sentence in (*(f"{term}: {CONVENTIONS[term]}." for term in terms), _PER_SAMPLE):
        wrapped = wrap(" ".join(sentence.split()), width, subsequent_indent="  ")
        lines += [_styled(line, _DIM, colour) for line in wrapped]
    return "\n".join(line.rstrip() for line in lines)


def human(count: int) -> str:
    """A count to three or four digits: 25.6 M."""
    for power, unit in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        # what rounds up to 1000 of a unit is 1 of the next
        if count >= power * 0.99995:
            scaled = count / power
            return f"{scaled:.2f} {unit}" if scaled < 9.995 else f"{scaled:.1f} {unit}"
    return str(count)


def _heading(report: Report) -> str:
    settings = ", ".join(f"{name} = {_written(value)}" for name, value in report.hyperparameters.items())
    inputs = ", ".join(f"{'int ' * (t.dtype == 'int64')}{t.name}{_dims(t)}" for t in report.inputs)
    outputs = ", ".join(tensor.name for tensor in report.outputs)
    return f"{report.net}{f'({settings})' if settings else ''} : {inputs} -> {outputs}"


def _written(value: object) -> str:
    """A hyperparameter as a file has it."""
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return (
        {None: "none", True: "true", False: "false"}[value] if value is None or isinstance(value, bool) else str(value)
    )


def _dims(tensor: Tensor) -> str:
    """The shape as the file declares it: `[3, H = 32, W = 32]`."""
    written = tensor.symbolic_shape or tensor.shape
    pairs = zip(written, tensor.shape, strict=True)
    return "[" + ", ".join(f"{name} = {size}" if isinstance(name, str) else str(size) for name, size in pairs) + "]"


def _cells(row: Row) -> tuple[str, ...]:
    name = row.name if row.times == 1 else f"{row.name} x {row.times}"
    shape = " x ".join(map(str, row.last.shape)) or "number"
    return name, shape, human(row.params), human(row.macs), human(row.flops), _field(row.fields)


def _field(fields: tuple[ReceptiveField | None, ...]) -> str:
    """The extent: one number where the axes agree; one after another for several network inputs."""
    parts = []
    for field in fields:
        if field is None:
            parts.append("all")
        else:
            sizes = field.size if len(set(field.size)) > 1 else field.size[:1]
            parts.append(("" if field.aligned else "~") + " x ".join(map(str, sizes)))
    return " | ".join(dict.fromkeys(parts))


def _grid(cells: list[tuple[str, ...]], width: int, colour: bool) -> list[str]:
    """Aligned columns within the width. The layer's name is cut, and columns are left out, where they do not fit."""
    widths = [max(map(len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
    kept = [0]
    rest = width - min(widths[0], _LEAST_NAME)
    for column in map(_COLUMNS.index, _BY_WORTH):
        if widths[column] + 2 <= rest:
            kept.append(column)
            rest -= widths[column] + 2
    kept.sort()
    widths[0] = min(widths[0], _LEAST_NAME + rest)
    lines = [_line(row, kept, widths) for row in cells]
    header = _line(_COLUMNS, kept, widths)
    return [_styled(header, _BOLD, colour), "-" * len(header), *lines]


def _line(cells: tuple[str, ...], kept: list[int], widths: list[int]) -> str:
    texts = [_cut(cells[0], widths[0]).ljust(widths[0])]
    texts += [cells[i].ljust(widths[i]) if i == 1 else cells[i].rjust(widths[i]) for i in kept[1:]]
    return "  ".join(texts)


def _cut(name: str, width: int) -> str:
    """The end of a path says more than its beginning."""
    return name if len(name) <= width else "..." + name[len(name) - width + 3 :]


def _totals(report: Report) -> list[str]:
    t = report.totals
    frozen = "" if t.trainable_params == t.params else f", {t.trainable_params:,} trainable"
    entries = [
        ("params", _count(t.params) + frozen),
        ("MACs", _count(t.macs)),
        ("FLOPs", _count(t.flops)),
        ("activations", size(t.activation_bytes)),
        ("peak memory", size(t.peak_memory_bytes)),
        ("depth", str(t.depth)),
    ]
    if t.buffers:
        entries.insert(1, ("buffers", _count(t.buffers)))
    step = report.training_memory
    if step is not None:
        entries.insert(-1, ("training", f"{size(step.bytes)} at a batch of {step.batch:,}"))
    extra = report.training_only
    if extra is not None and (extra.params or extra.macs):
        entries.append(("in training", f"{_count(extra.params)} params, {_count(extra.macs)} MACs more"))
    return [f"{name:<13}{text}" for name, text in entries]


def _count(count: int) -> str:
    return f"{count:,}" if count < 10**4 else f"{count:,} ({human(count)})"


def size(count: int) -> str:
    """Bytes to three or four digits: 25.6 MB."""
    text = human(count)
    return f"{text}B" if count >= 1000 else f"{text} B"


def _styled(text: str, style: str, colour: bool) -> str:
    return f"{style}{text}{_PLAIN}" if colour else text
