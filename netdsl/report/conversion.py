"""What a conversion changed: the figures of a net before and after."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

from netdsl.report.record import Report, Tensor, Totals
from netdsl.report.table import human, size


def compared(before: Report, after: Report, remarks: Sequence[str], width: int = 100) -> str:
    """What was done, and a table of the totals of both nets."""
    rows = [("", "before", "after"), ("layers", str(len(before.layers)), str(len(after.layers)))]
    both = (before.totals, after.totals)
    left_out = set() if any(t.trainable_params != t.params for t in both) else {"trainable"}
    left_out |= set() if any(t.buffers for t in both) else {"buffers"}
    rows += [
        (name, old, new)
        for (name, old), new in zip(_figures(before.totals).items(), _figures(after.totals).values(), strict=True)
        if name not in left_out
    ]
    old_tensors = {tensor.name: tensor for tensor in (*before.inputs, *before.outputs)}
    for tensor in (*after.inputs, *after.outputs):
        known = old_tensors.get(tensor.name)
        rows.append((tensor.name, "" if known is None else _shape(known), _shape(tensor)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join((name.ljust(widths[0]), old.rjust(widths[1]), new.rjust(widths[2]))).rstrip() for name, old, new in rows]
    texts = [line for remark in remarks for line in wrap(remark, width, subsequent_indent="  ")]
    return "\n".join([*texts, "", *lines, "", *after.constraints]).rstrip()


def changes(before: Report, after: Report, remarks: Sequence[str]) -> dict[str, Any]:
    """The same as JSON values; `after` has the keys of `netdsl analyze --json`."""
    return {"net": after.net, "remarks": list(remarks), "before": before.to_dict()["totals"], "after": after.to_dict()}


def _figures(t: Totals) -> dict[str, str]:
    """The totals as `netdsl analyze` calls them."""
    return {
        "params": human(t.params), "trainable": human(t.trainable_params), "buffers": human(t.buffers),
        "MACs": human(t.macs), "FLOPs": human(t.flops), "activations": size(t.activation_bytes),
        "peak memory": size(t.peak_memory_bytes), "depth": str(t.depth),
    }  # fmt: skip


def _shape(tensor: Tensor) -> str:
    sizes = " x ".join(map(str, tensor.shape)) or "number"
    if tensor.symbolic_shape is None:
        return sizes
    return f"{sizes}  [{', '.join(map(str, tensor.symbolic_shape))}]"
