"""What `netdsl gradcheck` prints: a line for each parameter, and the worst one in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netdsl.runtime.gradcheck import Checked, Entry, GradientCheck
    from netdsl.training.float64_step import Kink

_NAMED = 3  # kinks of a parameter that are named
_WIDTH = 100  # of lines of text


def outcome(check: GradientCheck, imprecise: float) -> str:
    """The check as text. `imprecise`: from which distance on float32 gradients are called so."""
    rows = [("parameter", "shape", "entries", "worst error", "float32", "")]
    rows += [(p.name, " x ".join(map(str, p.shape)) or "1", str(p.entries), f"{p.worst.error:.1e}", f"{p.float32:.1e}",
              _remark(p, imprecise)) for p in check.parameters]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    lines = [_line(row, widths) for row in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    heading = f"{check.net} on {check.batch} samples of {check.data}, seed {check.seed}: loss {check.loss:.6g}"
    texts = [*_sentences(check, imprecise)]
    return "\n".join(
        [heading, "", *lines, "", *(line for text in texts for line in wrap(text, _WIDTH, subsequent_indent="  "))]
    )


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    left, right = row[:2], row[2:5]
    cells = [text.ljust(n) for text, n in zip(left, widths, strict=False)]
    cells += [text.rjust(n) for text, n in zip(right, widths[2:], strict=False)]
    return "  ".join([*cells, row[5]]).rstrip()


def _remark(parameter: Checked, imprecise: float) -> str:
    if parameter.verdict == "wrong":
        return "WRONG"
    remarks = [f"{parameter.at_kinks} at a kink"] if parameter.at_kinks else []
    return ", ".join([*remarks, *(["imprecise in float32"] if parameter.float32 > imprecise else [])])


def _sentences(check: GradientCheck, imprecise: float) -> Iterator[str]:
    wrong = [p for p in check.parameters if p.verdict == "wrong"]
    worst = check.worst
    if wrong:
        yield f"{len(wrong)} of {len(check.parameters)} gradients are wrong."
        yield f"The worst is that of {_values(worst.name, worst.worst)}."
        if worst.worst.verdict != "wrong":
            yield (f"In float64 it is right; what training computes in float32, on {check.provider}, is not: the two are "
                   f"{worst.float32:.0%} apart.")  # fmt: skip
    else:
        yield f"All gradients are right, to {check.tolerance:g}. The worst is that of {_values(worst.name, worst.worst)}."
    count = sum(p.at_kinks for p in check.parameters)
    if at_kinks := [p for p in check.parameters if p.kink is not None]:
        parameter = max(at_kinks, key=lambda p: p.kink.error if p.kink else 0.0)
        yield (f"A kink explains a difference at {count} {'entry' if count == 1 else 'entries'}, such as "
               f"{_at_kink(parameter, check.tolerance)}. Between it and the loss: {_kinks(parameter.kinks)}.")  # fmt: skip
    if any(imprecise < p.float32 and p.verdict != "wrong" for p in check.parameters):
        yield "Imprecise in float32: rounding moves the whole gradient by more than a hundredth; float64 is right."
    yield ("Error: |gradient - difference| / max(|gradient|, |difference|), both in float64. Float32: how far the gradient "
           "that training computes is from that in float64, relative to its length.")  # fmt: skip


def _values(name: str, entry: Entry) -> str:
    return (f"{name}{list(entry.index)}: {entry.gradient:.9g}, by differences over {entry.step:.0e} {entry.difference:.9g}, "
            f"an error of {entry.error:.1e}")  # fmt: skip


def _at_kink(parameter: Checked, tolerance: float) -> str:
    entry = parameter.kink
    assert entry is not None
    where = f"{parameter.name}{list(entry.index)}"
    if entry.error <= tolerance:
        return f"{where}: longer steps than {entry.step:.0e} cross it, over that one gradient and difference agree"
    return (f"{where}, which stands on one: the loss has a slope of {entry.left:.6g} below it and of {entry.right:.6g} above, so "
            f"no derivative that the gradient, {entry.gradient:.6g}, could be compared with")  # fmt: skip


def _kinks(kinks: Sequence[Kink]) -> str:
    named = [f"{kink.operator} `{kink.node}` (at {kink.where})" for kink in kinks[:_NAMED]]
    return ", ".join(named) + (f" and {len(kinks) - _NAMED} more" if len(kinks) > _NAMED else "")
