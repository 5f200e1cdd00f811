"""How long a training step takes to compile, from the text to a session: at the first start of a net, and at a second,
which finds the step in the cache.

Every start is a process of its own, with an empty cache before the first. `python benchmarks/compile_time.py --out
benchmarks/results/compile_time.json`
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

ROOT = Path(__file__).parent.parent

#: file, hyperparameters, batch
NETS = {
    "ResNet-20": ("cifar_resnet.net", {"depth": 20}, 64),
    "ResNet-110": ("cifar_resnet.net", {"depth": 110}, 64),
    "DenseNet-40-12": ("densenet_cifar.net", {}, 32),
    "FC-DenseNet-56": ("fc_densenet.net", {}, 1),
}
PARTS = ("import", "graph", "step", "session")


def start(file, settings, batch, threads):
    """One start in this process: seconds for importing, text to graph, graph to step model, step model to session."""
    times = [perf_counter()]
    import netdsl
    from netdsl.runtime.session import choose_device
    from netdsl.runtime.stepper import Stepper
    from netdsl.training.step import build_step

    times.append(perf_counter())
    graph = netdsl.load(ROOT / "examples" / "zoo" / file, **settings).graph
    times.append(perf_counter())
    model = build_step(graph, batch=batch)
    times.append(perf_counter())
    Stepper(model, choose_device("cpu", threads), seed=0)
    times.append(perf_counter())
    taken = {part: after - before for part, before, after in zip(PARTS, times, times[1:], strict=False)}
    return taken | {"total": times[-1] - times[0], "nodes": len(model.model.graph.node)}


def starts(name, threads):
    """The first start of a net and the second."""
    command = [sys.executable, __file__, "--start", name, "--threads", str(threads)]
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NETDSL_CACHE": cache, "PYTHONPATH": str(ROOT)}
        runs = [subprocess.run(command, env=environment, check=True, capture_output=True, text=True) for _ in range(2)]
    return [json.loads(run.stdout) for run in runs]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--start", choices=NETS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.start:
        print(json.dumps(start(*NETS[arguments.start], arguments.threads)))
        return
    sys.path.insert(0, str(ROOT))
    from benchmarks.machine import machine
    from benchmarks.record import write

    rounds = {name: [] for name in NETS}
    for _ in range(arguments.rounds):
        for name, found in rounds.items():
            found.append(starts(name, arguments.threads))
    results = {}
    for name, found in rounds.items():
        results[name] = {"nodes": found[0][0]["nodes"]}
        for label, pairs in zip(("first", "second"), zip(*found, strict=True), strict=True):
            results[name][label] = {part: round(median(pair[part] for pair in pairs), 3) for part in (*PARTS, "total")}
        first, second = results[name]["first"], results[name]["second"]
        print(f"{name:<16}{results[name]['nodes']:>7,} nodes  first {first['total']:6.2f} s (session {first['session']:.2f})  "
              f"second {second['total']:6.2f} s (session {second['session']:.2f})")  # fmt: skip
    if arguments.out:
        record = {
            "command": "python benchmarks/compile_time.py", "machine": machine("onnxruntime", "onnx", "numpy"),
            "threads": arguments.threads, "rounds": arguments.rounds, "seconds": results,
        }  # fmt: skip
        write(arguments.out, record)


if __name__ == "__main__":
    main()
