"""One training step: the compiled ONNX model against PyTorch eager, channels_last and torch.compile, side by side.

    python benchmarks/train_step.py --threads 1                      # all networks, results into benchmarks/results/
    python benchmarks/train_step.py --threads 2 --only resnet20-b64
    python benchmarks/train_step.py --profile resnet20-b64           # where the ONNX step spends its time

All contenders start from the same weights, see the same batch, and use SGD with momentum and weight decay; their losses
over the first steps must agree to TOLERANCES. Then they take turns, round by round; a round's figure is its mean time per
step, a contender's the median of its rounds, printed with the least and the greatest. On CUDA a round ends with a
synchronisation, and TF32 is used by all contenders, or by none with --no-tf32; in mixed precision PyTorch runs under
autocast, in fp16 with its GradScaler. `benchmarks/gpu.py` runs all of that on a machine with a GPU.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.machine import machine
from benchmarks.record import write

CASES = {
    "lenet5-b1": ("lenet5", 1),
    "lenet5-b8": ("lenet5", 8),
    "lenet5-b64": ("lenet5", 64),
    "resnet20-b64": ("resnet20", 64),
    "densenet40-b32": ("densenet40", 32),
    "mobile-b32": ("mobile", 32),
    "unet-b8": ("unet", 8),
}
#: for GPUs
LARGE_CASES = {"resnet50-b128": ("resnet50", 128), "fabric-b64": ("fabric", 64)}
QUICK_BATCH = 4
#: ratios to the best of PyTorch that a prototype reached, by threads
TARGETS = {
    1: {"lenet5-b1": 0.22, "lenet5-b8": 0.57, "lenet5-b64": 1.24, "resnet20-b64": 1.44, "unet-b8": 1.36},
    2: {"lenet5-b1": 0.22, "lenet5-b8": 0.57, "lenet5-b64": 1.24, "resnet20-b64": 1.7, "unet-b8": 1.36},
}
RATE, MOMENTUM, DECAY = 0.01, 0.9, 1e-4
#: of a deep net with ReLUs: two right gradients differ by percents where values lie within rounding of a kink
LARGE_RATE, LARGE_TOLERANCE = 1e-4, 2e-2
#: in a half type each update multiplies what even eager and compiled PyTorch differ by, which round at other places
HALF_RATE = 1e-3
CHECKED_STEPS = {"float32": 5, "fp16": 2, "bf16": 2, "large": 2}
SMALL_LOSS = 1e-2  # below which losses are compared in units of it
TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "fp16": 1e-2, "bf16": 5e-2}  # of the losses, relative
LOSS_SCALE = 2.0**10  # of both sides, at first: one that does not overflow


@dataclass(frozen=True)
class Setting:
    """What a case runs on, and how. `quick`: tiny networks and batches, to see that everything works."""

    device: str
    threads: int
    tf32: bool = True
    precision: str = "float32"
    batch: int | None = None
    quick: bool = False

    def twin(self, case):
        """The case's network, both ways, and its batch."""
        from benchmarks.twins import TWINS
        from benchmarks.twins_large import LARGE, TINY

        name, batch = (CASES | LARGE_CASES)[case]
        known = TWINS | (TINY if self.quick else LARGE)
        return known[name], self.batch or (min(batch, QUICK_BATCH) if self.quick else batch)

    def rate(self, case):
        if case in LARGE_CASES:
            return LARGE_RATE
        return RATE if self.precision == "float32" else HALF_RATE

    def tolerance(self, case):
        """Of the losses behind the first update, relative."""
        rounds_products = self.device == "cuda" and self.tf32 and self.precision == "float32"
        tolerance = TOLERANCES["tf32" if rounds_products else self.precision]
        return max(tolerance, LARGE_TOLERANCE) if case in LARGE_CASES else tolerance


@dataclass
class Contender:
    """`step` runs one training step; `loss` reads the last one's loss; `wait` lets the device finish."""

    name: str
    step: Callable[[], None]
    loss: Callable[[], float]
    wait: Callable[[], None]


def compiled(case, setting, profile=None):
    """The ONNX step, fed anew with its batch in every step."""
    import numpy as np

    from netdsl.lower import initial_parameters
    from netdsl.runtime.precision import require_precision
    from netdsl.runtime.session import choose_device
    from netdsl.runtime.stepper import Stepper
    from netdsl.training.step import build_step

    (twin, batch), rate = setting.twin(case), setting.rate(case)
    graph = twin.graph(f"sgd(lr = {rate}, momentum = {MOMENTUM}, weight_decay = {DECAY})", batch=batch, metrics=False)
    device = choose_device(setting.device, setting.threads)
    model = build_step(graph, batch=batch, sizes=twin.sizes, provider=device.provider, precision=setting.precision)
    if device.provider == "cuda" or setting.precision == "bf16":  # quick runs try fp16 on the CPU, by emulation
        require_precision(model, device)
    stepper = Stepper(model, device, seed=0, profile=profile)
    weights = initial_parameters(graph, 0)
    stepper.load(
        {name: model.state[name].pack(weights) for name in ("parameters", "statistics") if name in model.state}
    )
    if setting.precision == "fp16":
        stepper.load({"scaling": np.array([LOSS_SCALE, 0, 0], np.float32)})
    images, labels = twin.batch(graph, batch)
    count = 0

    def step():
        nonlocal count
        np.copyto(stepper.feeds["image"], images)
        np.copyto(stepper.feeds["label"], labels)
        stepper.step(count, rate)
        count += 1

    return Contender("netdsl", step, stepper.loss, lambda: None), stepper


def pytorch(case, setting, form):
    """PyTorch `eager`, `channels_last` or `compile`, with its fused optimizer."""
    import torch
    from torch.nn import functional

    from benchmarks.twins import load
    from netdsl.lower import initial_parameters

    device, (twin, batch) = setting.device, setting.twin(case)
    graph, rate = twin.graph("sgd(lr = 0.1)", batch=batch), setting.rate(case)
    module = twin.module()
    load(module, graph, initial_parameters(graph, 0))
    images, labels = (torch.from_numpy(array).to(device) for array in twin.batch(graph, batch))
    module = module.to(device).train()
    if form == "channels_last":
        module, images = module.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(module.parameters(), lr=rate, momentum=MOMENTUM, weight_decay=DECAY, fused=True)
    scaler = torch.amp.GradScaler(device, init_scale=LOSS_SCALE, enabled=setting.precision == "fp16")
    half = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(setting.precision)
    last = torch.zeros(())

    def compute():
        with torch.autocast(device, dtype=half, enabled=half is not None):
            return functional.cross_entropy(module(images), labels)

    if form == "compile":
        compute = torch.compile(compute)

    def step():
        nonlocal last
        optimizer.zero_grad(set_to_none=True)
        last = compute()
        scaler.scale(last).backward()
        scaler.step(optimizer)
        scaler.update()

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    return Contender(f"pytorch {form}", step, lambda: float(last.detach()), wait)


def check_losses(contenders, steps, tolerance):
    """The first losses of each contender; raises SystemExit where they differ by more than `tolerance`, relative."""
    losses = []
    for contender in contenders:
        losses.append([])
        for _ in range(steps):
            contender.step()
            losses[-1].append(contender.loss())
    for contender, found in zip(contenders, losses, strict=True):
        worst = max(abs(a - b) / max(abs(b), SMALL_LOSS) for a, b in zip(found, losses[-1], strict=True))
        if not worst <= tolerance:
            raise SystemExit(f"{contender.name}: the losses {found} are not {losses[-1]}")
    return losses


def measure(contenders, rounds, seconds):
    """Milliseconds per step of every round, by contender; the contenders take turns."""
    steps = {}
    for contender in contenders:  # warm-up, and how many steps fill a round
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds / 2 or count < 2:
            contender.step()
            count += 1
        contender.wait()
        steps[contender.name] = max(1, round(count * seconds / (time.perf_counter() - began)))
    times = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders[number % len(contenders) :] + contenders[: number % len(contenders)]:
            time.sleep(0.05)  # threads of the one before stop spinning
            contender.step()
            contender.wait()
            began = time.perf_counter()
            for _ in range(steps[contender.name]):
                contender.step()
            contender.wait()
            contender.loss()
            times[contender.name].append(1000 * (time.perf_counter() - began) / steps[contender.name])
    return times


def run_case(case, setting, rounds, seconds, forms):
    ours, _ = compiled(case, setting)
    contenders = [ours, *(pytorch(case, setting, form) for form in forms)]
    checked = CHECKED_STEPS["large" if case in LARGE_CASES else setting.precision]
    losses = check_losses([*contenders[1:], ours], checked, setting.tolerance(case))
    times = measure(contenders, rounds, seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min((value for name, value in medians.items() if name != ours.name), default=float("nan"))
    return {
        "case": case,
        "milliseconds": {name: [medians[name], min(values), max(values)] for name, values in times.items()},
        "ratio_to_best": medians[ours.name] / best,
        "batch": setting.twin(case)[1],
        "target": TARGETS.get(setting.threads, {}).get(case) if setting.device == "cpu" and not setting.quick else None,
        "losses": losses[-1],
    }


def profile_case(case, setting, runs=10, top=25):
    """Milliseconds per step by operator, the slowest nodes, and the nodes that did not run on the device asked for.

    On CUDA a kernel's time is that of its launch, unless CUDA_LAUNCH_BLOCKING is 1.
    """
    with tempfile.TemporaryDirectory() as folder:
        ours, stepper = compiled(case, setting, profile=str(Path(folder) / "step"))
        for _ in range(runs):
            ours.step()
        events = json.loads(Path(stepper.session.end_profiling()).read_text())
    nodes = Counter()
    operators = Counter()
    for event in events:
        if event.get("cat") != "Node" or not event["name"].endswith("_kernel_time"):
            continue
        arguments = event["args"]
        label = f"{arguments['op_name']} {event['name'].removesuffix('_kernel_time')}"
        shapes = json.dumps(arguments.get("input_type_shape", ""))
        nodes[f"{label} {shapes[:150]}"] += event["dur"]
        operators[arguments["op_name"]] += event["dur"]
    return {
        "operators": {name: micros / runs / 1000 for name, micros in operators.most_common()},
        "nodes": {name: micros / runs / 1000 for name, micros in nodes.most_common(top)},
        "not_on_device": stepper.elsewhere(),
    }


def described(setting):
    import onnxruntime
    import torch

    cuda = setting.device == "cuda"
    used = {
        "threads": setting.threads, "device": torch.cuda.get_device_name() if cuda else "cpu",
        "tf32": setting.tf32 if cuda else None, "precision": setting.precision,
    }  # fmt: skip
    return machine() | used | {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}


def table(report):
    """The report for readers."""
    m = report["machine"]
    where = m["device"] if m["device"] != "cpu" else f"{m['cpu']}, {m['threads']} thread(s)"
    lines = [
        f"Training step, ms: median [min-max] of {report['rounds']} interleaved rounds. {where};"
        f" torch {m['torch']}, onnxruntime {m['onnxruntime']}" + ("" if m["tf32"] is None else f", TF32 {m['tf32']}"),
        "",
    ]
    columns = list(dict.fromkeys(name for case in report["cases"] for name in case["milliseconds"]))
    rows = [["case", *columns, "ratio to best", "target"]]
    for case in report["cases"]:
        cells = [
            "{:.3g} [{:.3g}-{:.3g}]".format(*case["milliseconds"][name]) if name in case["milliseconds"] else "-"
            for name in columns
        ]
        target = "-" if case["target"] is None else f"{case['target']:.2f}"
        rows.append([case["case"], *cells, f"{case['ratio_to_best']:.2f}", target])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--only", action="append", choices=sorted(CASES | LARGE_CASES), help="run this case (may be repeated)"
    )
    parser.add_argument("--forms", default="eager,channels_last,compile", help="what of PyTorch to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a round of a contender takes")
    parser.add_argument("--no-tf32", action="store_true", help="float32 products on CUDA in full precision")
    parser.add_argument("--precision", choices=["float32", "fp16", "bf16"], default="float32")
    parser.add_argument("--batch", type=int, help="in place of the case's, where memory is short")
    parser.add_argument("--quick", action="store_true", help="tiny batches and networks: does everything work?")
    parser.add_argument(
        "--profile", choices=sorted(CASES | LARGE_CASES), help="print where this case's step spends its time, and stop"
    )
    parser.add_argument("--output", type=Path, help="folder for the results (default: benchmarks/results)")
    parser.add_argument("--json", type=Path, help="write the report to this file alone")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(options.threads))
    if options.no_tf32:
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # read by cuBLAS and cuDNN, for both sides

    import torch

    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not options.no_tf32
    setting = Setting(
        options.device, options.threads, not options.no_tf32, options.precision, options.batch, options.quick
    )
    if options.profile:
        found = profile_case(options.profile, setting)
        for part in ("operators", "nodes"):
            print(*(f"{milliseconds:9.3f} ms  {name}" for name, milliseconds in found[part].items()), "", sep="\n")
        print("not on the device:", ", ".join(found["not_on_device"]) or "none")
        if options.json:
            write(options.json, found)
        return
    forms = [form for form in options.forms.split(",") if form]
    report = {"machine": described(setting), "rounds": options.rounds, "cases": []}
    for case in options.only or CASES:
        report["cases"].append(run_case(case, setting, options.rounds, options.seconds, forms))
        print(table(report).splitlines()[-1], file=sys.stderr, flush=True)
    text = table(report)
    print(text, end="")
    if options.json:
        write(options.json, report)
        return
    folder = options.output or Path(__file__).parent / "results"
    stem = f"train_step-{options.device}" + (f"-{options.threads}" if options.device == "cpu" else "")
    write(folder / f"{stem}.json", report)
    (folder / f"{stem}.txt").write_text(text)


if __name__ == "__main__":
    from netdsl.diagnostics import NetError

    try:
        main()
    except NetError as error:
        raise SystemExit(error.diagnostics[0].message) from error
