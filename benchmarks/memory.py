"""The memory of a training step, side by side with PyTorch's: peak resident bytes over those of the idle process.

    python benchmarks/memory.py --out benchmarks/results/memory.json

Every measurement is a process of its own, Linux only. The libraries are imported and have trained a small net before the
base is read; peak is the most that is resident during four steps, less the base: weights, optimizer, batch, everything
that the step allocates and what its description takes. `first_start` is the peak while the step is compiled and compared
with its portable form, before the first step; a second start reads it from the cache and does not have it.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import machine
from benchmarks.record import write

ROOT = Path(__file__).resolve().parent.parent

CASES = {"lenet5": 64, "resnet20": 64, "densenet40": 32, "mobile": 32, "unet": 8}
CONTENDERS = ("netdsl", "pytorch eager", "pytorch channels_last")
OPTIMIZER = "sgd(lr = 0.01, momentum = 0.9, weight_decay = 0.0001)"
STEPS = 4


def resident(line: str) -> int:
    """Bytes of `VmRSS`, what is resident now, or `VmHWM`, the most since `forget_peak`."""
    entries = dict(entry.split(":", 1) for entry in Path("/proc/self/status").read_text().splitlines())
    return int(entries[line].split()[0]) * 1024


def settle() -> int:
    """Give freed memory back and forget the peak; what is resident then."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def compiled(name: str, batch: int, threads: int) -> Callable[[], object]:
    from benchmarks.twins import TWINS
    from netdsl.lower import initial_parameters
    from netdsl.runtime.session import choose_device
    from netdsl.runtime.stepper import Stepper
    from netdsl.training.step import build_step

    twin = TWINS[name]
    graph = twin.graph(OPTIMIZER, batch=batch, metrics=False)
    model = build_step(graph, batch=batch)
    stepper = Stepper(model, choose_device("cpu", threads), seed=0)
    weights = initial_parameters(graph, 0)
    stepper.load(
        {name: model.state[name].pack(weights) for name in ("parameters", "statistics") if name in model.state}
    )
    images, labels = twin.batch(graph, batch)

    def step() -> None:
        stepper.feeds["image"][...], stepper.feeds["label"][...] = images, labels
        stepper.step(0, 0.01)

    return step


def pytorch(name: str, batch: int, threads: int, form: str) -> Callable[[], object]:
    import torch
    from torch.nn import functional

    from benchmarks.twins import TWINS

    torch.set_num_threads(threads)
    twin = TWINS[name]
    module = twin.module().train()
    images, labels = map(torch.from_numpy, twin.batch(twin.graph(OPTIMIZER), batch))
    if form == "channels_last":
        module, images = module.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(module(images), labels).backward()
        optimizer.step()

    return step


def measure(contender: str, name: str, threads: int) -> dict[str, int]:
    """In this process: the peaks over the base."""

    def made(name: str, batch: int) -> Callable[[], object]:
        if contender == "netdsl":
            return compiled(name, batch, threads)
        return pytorch(name, batch, threads, contender.removeprefix("pytorch "))

    made("lenet5", 2)()
    base = settle()
    step = made(name, CASES[name])
    first = resident("VmHWM") - base
    ready = settle() - base
    for _ in range(STEPS):
        step()
    return {"first_start": first, "ready": ready, "peak": resident("VmHWM") - base}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure, arguments.threads)))
        return
    results: dict[str, dict[str, Any]] = {}
    for name, batch in CASES.items():
        row: dict[str, Any] = {"batch": batch}
        for contender in CONTENDERS:
            command = [sys.executable, __file__, "--threads", str(arguments.threads), "--measure", contender, name]
            environment = os.environ | {"NETDSL_CACHE": "off", "PYTHONPATH": str(ROOT)}
            runs = [json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
                    for _ in range(arguments.rounds)]  # fmt: skip
            row[contender] = {key: round(median(run[key] for run in runs) / 1e6, 1) for key in runs[0]}
        best = min(row[contender]["peak"] for contender in CONTENDERS[1:])
        row["ratio"] = round(row["netdsl"]["peak"] / best, 2)
        results[name] = row
        peaks = "  ".join(f"{contender} {row[contender]['peak']:.1f}" for contender in CONTENDERS)
        print(f"{name}, {batch}: {peaks} MB, ratio to the smaller {row['ratio']}", flush=True)
    if arguments.out:
        report = {
            "command": "python benchmarks/memory.py", "unit": "MB (10^6 bytes), medians", "threads": arguments.threads,
            "rounds": arguments.rounds, "machine": machine("onnxruntime", "torch", "numpy"), "networks": results,
        }  # fmt: skip
        write(arguments.out, report)


if __name__ == "__main__":
    main()
