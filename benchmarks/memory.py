"""The memory of a training step, side by side with PyTorch's: peak resident bytes over those of the idle process.

    python benchmarks/memory.py --out benchmarks/results/memory.json

Every measurement is a process of its own, Linux only. The libraries are imported and have trained a small net before the
base is read; peak is the most that is resident during four steps, less the base: weights, optimizer, batch, everything
that the step allocates and what its description takes. `first_start` is the peak while the step is compiled and compared
with its portable form, before the first step; a second start reads it from the cache and does not have it.

`step` is what `netdsl analyze --batch` predicts: the peak without what was resident before the first step (its
description, state and batch), plus the bytes of state and batch. `predicted` is that prediction, `accuracy` it over `step`.
Networks of examples/zoo, most of them smaller than there, are measured for these alone.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import machine
from benchmarks.record import write

ROOT = Path(__file__).resolve().parent.parent

CASES = {"lenet5": 64, "resnet20": 64, "densenet40": 32, "mobile": 32, "unet": 8}
#: nets of examples/zoo, their settings, and the batch
ZOO = {
    "alexnet": ("alexnet.net", {"hidden": 1024}, 16),
    "vgg16": ("vgg.net", {"hidden": 512, "H": 96, "W": 96}, 4),
    "googlenet": ("googlenet.net", {}, 4),
    "resnet50": ("resnet.net", {"H": 112, "W": 112}, 4),
    "preact_resnet29": ("preact_resnet.net", {"depth": 29}, 16),
    "mobilenet_v2": ("mobilenet_v2.net", {"H": 96, "W": 96}, 8),
    "fc_densenet": ("fc_densenet.net", {"H": 96, "W": 96}, 1),
    "fabric": ("fabric.net", {}, 8),
    "segnet": ("segnet.net:segnet", {"H": 96, "W": 128}, 2),
    "deeplab": ("deeplab.net", {"H": 129, "W": 129, "units": 256}, 2),
    "vnet": ("vnet.net", {"D": 32, "H": 64, "W": 64}, 1),
    "wavenet": ("wavenet.net", {"blocks": 2, "dilations": 6, "T": 2048}, 1),
}
CONTENDERS = ("netdsl", "pytorch eager", "pytorch channels_last")
OPTIMIZER = "sgd(lr = 0.01, momentum = 0.9, weight_decay = 0.0001)"
STEPS = 4


def resident(line):
    """Bytes of `VmRSS`, what is resident now, or `VmHWM`, the most since `forget_peak`."""
    entries = dict(entry.split(":", 1) for entry in Path("/proc/self/status").read_text().splitlines())
    return int(entries[line].split()[0]) * 1024


def settle():
    """Give freed memory back and forget the peak; what is resident then."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def network(name):
    """A net of CASES or of ZOO, and its batch."""
    import netdsl
    from benchmarks.twins import TWINS

    if name in TWINS:
        return TWINS[name].graph(OPTIMIZER, metrics=False), CASES[name]
    file, settings, batch = ZOO[name]
    return netdsl.load(f"{ROOT}/examples/zoo/{file}", **settings).graph, batch


def compiled(graph, batch, threads):
    """A step on a random batch, and the bytes of its state and of what is fed."""
    import numpy as np

    from netdsl.lower import initial_parameters
    from netdsl.runtime.session import choose_device
    from netdsl.runtime.stepper import Stepper
    from netdsl.training.step import TENSORS, build_step

    model = build_step(graph, batch=batch)
    stepper = Stepper(model, choose_device("cpu", threads), seed=0)
    weights = initial_parameters(graph, 0)
    stepper.load({name: model.state[name].pack(weights) for name in TENSORS if name in model.state})
    generator = np.random.default_rng(0)
    for feed in stepper.feeds.values():
        feed[...] = generator.standard_normal(feed.shape) if feed.dtype == np.float32 else 0
    numbers = sum(layout.size * (2 if name in model.written else 1) for name, layout in model.state.items())

    def step():
        stepper.step(0, 1e-4)

    return step, 4 * numbers + sum(feed.nbytes for feed in stepper.feeds.values())


def pytorch(name, batch, threads, form):
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

    def step():
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(module(images), labels).backward()
        optimizer.step()

    return step, 0


def measure(contender, name, threads):
    """In this process: the peaks over the base."""

    def made(name, batch=None):
        if contender == "netdsl":
            graph, own = network(name)
            return compiled(graph, batch or own, threads)
        return pytorch(name, batch or CASES[name], threads, contender.removeprefix("pytorch "))

    made("lenet5", 2)[0]()
    base = settle()
    step, given = made(name)
    first = resident("VmHWM") - base
    ready = settle() - base
    for _ in range(STEPS):
        step()
    peak = resident("VmHWM") - base
    found = {"first_start": first, "ready": ready, "peak": peak}
    return found | {"step": peak - ready + given} if contender == "netdsl" else found


def predicted(name):
    """What `netdsl analyze --batch` says, in bytes."""
    from netdsl.analysis.training_memory import training_memory

    return training_memory(*network(name))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=[*CASES, *ZOO], choices=[*CASES, *ZOO], metavar="NETWORK")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure, arguments.threads)))
        return
    results = {name: compared(name, arguments.threads, arguments.rounds) for name in arguments.only}
    if arguments.out:
        report = {
            "command": "python benchmarks/memory.py", "unit": "MB (10^6 bytes), medians", "threads": arguments.threads,
            "rounds": arguments.rounds, "machine": machine("onnxruntime", "torch", "numpy"), "networks": results,
        }  # fmt: skip
        write(arguments.out, report)


def compared(name, threads, rounds):
    """A network's row; a network of the zoo is not compared with PyTorch."""
    _, batch = network(name)
    row = {"batch": batch} | ({"settings": ZOO[name][1]} if name in ZOO else {})
    for contender in CONTENDERS[:1] if name in ZOO else CONTENDERS:
        command = [sys.executable, __file__, "--threads", str(threads), "--measure", contender, name]
        environment = os.environ | {"NETDSL_CACHE": "off", "PYTHONPATH": str(ROOT)}
        runs = [json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
                for _ in range(rounds)]  # fmt: skip
        row[contender] = {key: round(median(run[key] for run in runs) / 1e6, 1) for key in runs[0]}
    row["predicted"] = round(predicted(name) / 1e6, 1)
    row["accuracy"] = round(row["predicted"] / row["netdsl"]["step"], 3)
    told = f"a step {row['netdsl']['step']:.1f} MB, predicted {row['predicted']:.1f}: {row['accuracy']:.3f}"
    if name not in ZOO:
        row["ratio"] = round(row["netdsl"]["peak"] / min(row[contender]["peak"] for contender in CONTENDERS[1:]), 2)
        told += f"; peak {row['netdsl']['peak']:.1f}, to the smaller of PyTorch's {row['ratio']}"
    print(f"{name}, {batch}: {told}", flush=True)
    return row


if __name__ == "__main__":
    main()
