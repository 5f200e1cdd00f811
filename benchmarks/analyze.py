"""`netdsl analyze` on ResNet-152 against the tools that count a network in PyTorch or ONNX: whole processes, in turns.

    pip install torch torchinfo fvcore thop onnx-tool
    python benchmarks/analyze.py --rounds 7 --out benchmarks/results/analyze.json
    python benchmarks/analyze.py --tool torchinfo          # one tool, once: what a round starts

Every contender is a fresh Python process that builds or reads the same ResNet-152 (stride in the 3x3, as torchvision
has it), counts parameters and multiply-accumulates, and prints its table. onnx-tool reads an ONNX file that is written
beforehand and not timed; a row of its own has it with the export from PyTorch, as the job is for the others. Each
runs once unmeasured, so that bytecode and file caches are warm; then they take turns.
A run of netdsl whose own bytecode is not there yet is measured apart. The second half runs `netdsl analyze` on growing
networks: seconds per operator should not grow.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import installed, machine
from benchmarks.record import compact, write

ROOT = Path(__file__).resolve().parent.parent
RESNET = "examples/zoo/resnet.net"
DEPTH = {"depth": "152"}
FABRIC = "examples/fabric.net"
TOOLS = ("torchinfo", "fvcore", "thop", "onnx-tool")
#: onnx-tool on a network that exists in PyTorch: the export belongs to the job
EXPORTED = "torch.onnx and onnx-tool"
#: (name, file, settings): from ResNet-152 to a thousand layers, and fabrics of 100 to 10,000 lattice nodes
GROWING = [
    ("resnet-152", RESNET, DEPTH),
    ("cifar-resnet-500", "examples/zoo/cifar_resnet.net", {"depth": "500"}),
    ("preact-resnet-1001", "examples/zoo/preact_resnet.net", {"depth": "1001"}),
    ("fabric-102", FABRIC, {"layers": "17"}),
    ("fabric-1002", FABRIC, {"layers": "167"}),
    ("fabric-10002", FABRIC, {"layers": "1667"}),
]


def torch_resnet(repeats=(3, 8, 36, 3)):
    """ResNet-152 in PyTorch; torchvision's model without torchvision."""
    import torch
    from torch import nn

    def conv_bn(inside, outside, kernel, stride=1):
        return [nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside)]

    class Bottleneck(nn.Module):
        def __init__(self, inside, width, stride):
            super().__init__()
            self.main = nn.Sequential(
                *conv_bn(inside, width, 1), nn.ReLU(), *conv_bn(width, width, 3, stride), nn.ReLU(),
                *conv_bn(width, 4 * width, 1),
            )  # fmt: skip
            same = inside == 4 * width and stride == 1
            self.skip = nn.Identity() if same else nn.Sequential(*conv_bn(inside, 4 * width, 1, stride))

        def forward(self, x):
            return torch.relu(self.main(x) + self.skip(x))

    layers = [*conv_bn(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for stage, count in enumerate(repeats):
        for i in range(count):
            width = 64 * 2**stage
            layers.append(Bottleneck(inside, width, 2 if stage > 0 and i == 0 else 1))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, 1000)).eval()


def run_tool(tool, onnx_file):
    """Count ResNet-152 with one tool, print its table, return what it counts."""
    if tool == EXPORTED:
        import torch

        with tempfile.TemporaryDirectory() as folder:
            onnx_file = f"{folder}/resnet152.onnx"
            torch.onnx.export(
                torch_resnet(), (torch.zeros(1, 3, 224, 224),), onnx_file, dynamo=False, input_names=["image"]
            )
            return run_tool("onnx-tool", onnx_file)
    if tool == "onnx-tool":
        import numpy as np
        import onnx_tool

        model = onnx_tool.Model(onnx_file)
        model.graph.shape_infer({"image": np.zeros((1, 3, 224, 224), np.float32)})
        model.graph.profile()
        model.graph.print_node_map()
        return {"params": int(model.graph.params), "macs": int(model.graph.macs[0])}
    import torch

    network, image = torch_resnet(), torch.zeros(1, 3, 224, 224)
    if tool == "torchinfo":
        from torchinfo import summary

        found = summary(network, input_data=image, verbose=1)
        return {"params": found.total_params, "macs": found.total_mult_adds}
    if tool == "fvcore":
        from fvcore.nn import FlopCountAnalysis, flop_count_table

        counted = FlopCountAnalysis(network, image)
        print(flop_count_table(counted))
        return {"params": sum(p.numel() for p in network.parameters()), "macs": int(counted.total())}
    from thop import profile

    macs, params = profile(network, inputs=(image,), verbose=True)
    return {"params": int(params), "macs": int(macs)}


class Run(NamedTuple):
    """One process: wall and processor seconds, peak resident bytes, standard output."""

    wall: float
    cpu: float
    memory: int
    output: str


def run(command, environment):
    start = time.perf_counter()
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, env=environment, **pipes) as process:
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with {process.returncode}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)


def summarised(runs):
    wall = [run.wall for run in runs]
    return {
        "seconds": round(statistics.median(wall), 3), "least": round(min(wall), 3), "greatest": round(max(wall), 3),
        "cpu_seconds": round(statistics.median(run.cpu for run in runs), 3), "rounds": len(runs),
        "peak_memory_bytes": max(run.memory for run in runs),
    }  # fmt: skip


def environment_with(cache):
    """As for an installed package: bytecode is cached, here in a folder of its own; tools run one thread per core."""
    result = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**result, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONPATH": os.pathsep.join(paths)}


def netdsl_command(file, settings):
    options = [option for name, value in settings.items() for option in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "netdsl", "analyze", file, *options]


def compare(rounds, folder):
    """ResNet-152: netdsl and the tools that are installed, in turns; and netdsl's first run."""
    onnx_file = str(folder / "resnet152.onnx")
    environment = environment_with(folder / "bytecode")
    run([sys.executable, "-m", "netdsl", "compile", RESNET, "--set", "depth=152", "-o", onnx_file], environment)
    commands = {"netdsl": netdsl_command(RESNET, DEPTH)}
    tools = [tool for tool in TOOLS if installed(tool)]
    for tool in [*tools, *([EXPORTED] if "onnx-tool" in tools else [])]:
        commands[tool] = [sys.executable, str(Path(__file__).resolve()), "--tool", tool, "--onnx", onnx_file]
    counts = {name: run(command, environment).output for name, command in commands.items()}
    counts["netdsl"] = run([*commands["netdsl"], "--json"], environment).output
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(run(command, environment))
    fresh = []
    for i in range(rounds):
        cache = folder / f"fresh{i}"
        shutil.copytree(folder / "bytecode", cache, ignore=shutil.ignore_patterns("netdsl"))
        fresh.append(run(commands["netdsl"], environment_with(cache)))
    totals = json.loads(counts.pop("netdsl"))["totals"]
    found = {"netdsl": {name: totals[name] for name in ("params", "macs")}}
    found |= {tool: json.loads(output.splitlines()[-1]) for tool, output in counts.items()}
    result = {name: {**summarised(runs[name]), **found[name]} for name in commands}
    return {**result, "netdsl without its bytecode": summarised(fresh)}


def growth(rounds, folder):
    """Whole-process time of netdsl on networks of growing size."""
    environment = environment_with(folder / "bytecode")
    runs = {name: [] for name, _, _ in GROWING}
    for _ in range(rounds):
        for name, file, settings in GROWING:
            runs[name].append(run(netdsl_command(file, settings), environment))
    result = {}
    for name, file, settings in GROWING:
        operators = len(json.loads(run([*netdsl_command(file, settings), "--json"], environment).output)["layers"])
        entry = summarised(runs[name])
        result[name] = {"file": file, "set": settings, "operators": operators, **entry,
                        "cpu_microseconds_per_operator": round(1e6 * entry["cpu_seconds"] / operators)}  # fmt: skip
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each process runs; the median counts")
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    parser.add_argument("--tool", choices=(*TOOLS, EXPORTED), help="run one tool once, in this process")
    parser.add_argument("--onnx", help="the ONNX file for onnx-tool")
    options = parser.parse_args()
    if options.tool:
        print(json.dumps(run_tool(options.tool, options.onnx)))
        return
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        report = {
            "command": f"python benchmarks/analyze.py --rounds {options.rounds}",
            "machine": machine("torch", "onnx", "click", "lark", *TOOLS),
            "load_average_before": round(load, 2), "resnet152": compare(options.rounds, Path(folder)),
            "growth": growth(max(3, options.rounds // 2), Path(folder)),
        }  # fmt: skip
    print(compact(report))
    if options.out:
        write(options.out, report)


if __name__ == "__main__":
    main()
