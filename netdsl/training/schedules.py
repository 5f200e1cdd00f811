"""Learning rates over time, evaluated on the host before every step."""

from __future__ import annotations

from math import cos, pi

from netdsl.ir.graph import Schedule


def rate_at(schedule: Schedule, *, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The learning rate of a step (counted from 0 over the whole training).

    `constant`: always `start`. `step`: multiplied by `factor` from each epoch of `at` on (He et al. 2016, section 4.2).
    `cosine`: half a cosine from `start` to `end` (Loshchilov & Hutter 2017, without restarts), moving on with every step;
    behind its last epoch it stays at `end`. Both rise linearly to `start` in the epochs of `warmup` (Goyal et al. 2017).
    """
    a = schedule.arguments
    position, warmup = step / steps_per_epoch, a.get("warmup", 0)
    if position < warmup:
        return float(a["start"] * (step + 1) / max(1.0, warmup * steps_per_epoch))
    if schedule.kind == "constant":
        return float(a["start"])
    if schedule.kind == "step":
        passed = sum(step >= epoch * steps_per_epoch for epoch in a["at"])
        return float(a["start"] * a["factor"] ** passed)
    if schedule.kind != "cosine":
        raise ValueError(f"no schedule named {schedule.kind}")
    total = a["epochs"] if a["epochs"] is not None else epochs
    done = min(1.0, (position - warmup) / max(total - warmup, 1 / steps_per_epoch))
    return float(a["end"] + (a["start"] - a["end"]) * (1 + cos(pi * done)) / 2)
