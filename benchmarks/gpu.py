"""Everything that is to be measured on a GPU, in one go: the training step against PyTorch, in each precision.

    python benchmarks/gpu.py                                  # results/train_step-cuda.json and .txt, an hour or two
    python benchmarks/gpu.py --only resnet50-b128 --batch 32  # where memory is short
    python benchmarks/gpu.py --device cpu --quick             # tiny networks, to see that everything works

Cases: those of `train_step.py`, ResNet-50 (224 x 224, batch 128) and a convolutional neural fabric. Modes: float32 with
TF32, which both sides then use in convolutions and products; float32 without; fp16 and bf16, in which PyTorch runs under
autocast. For each case and mode a process of its own compares the step with PyTorch eager, channels_last and compile
(losses first), and another one profiles it, with every kernel waited for: the five hottest operators, and the nodes that
do not run on the GPU. A process that fails leaves its message as the result, and the next one runs; results are written
after each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.record import write
from benchmarks.train_step import CASES, LARGE_CASES

STEP = Path(__file__).with_name("train_step.py")
MODES = {
    "tf32": ["--precision", "float32"],
    "float32": ["--precision", "float32", "--no-tf32"],
    "fp16": ["--precision", "fp16"],
    "bf16": ["--precision", "bf16"],
}
HOTTEST = 5


def measured(case, options, forms, rounds, timeout):
    """The times of one case in one mode with its profile; or `failed`, with the last line that was printed."""
    timed = step(["--only", case, "--forms", forms, "--rounds", str(rounds), *options], {}, timeout)
    if "failed" in timed:
        return timed
    result = {"machine": timed["machine"], **timed["cases"][0]}
    profile = step(["--profile", case, *options], {"CUDA_LAUNCH_BLOCKING": "1"}, timeout)
    if "failed" in profile:
        return result | {"profile": profile}
    total = sum(profile["operators"].values())
    hottest = {name: [time, time / total] for name, time in list(profile["operators"].items())[:HOTTEST]}
    return result | {"hottest": hottest, "not_on_device": profile["not_on_device"]}


def step(arguments, environment, timeout):
    """What a run of train_step.py reports."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        command = [sys.executable, str(STEP), *arguments, "--json", str(report)]
        try:
            run = subprocess.run(
                command, env=os.environ | environment, capture_output=True, text=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired:
            return {"failed": f"no end after {timeout:.0f} s"}
        if run.returncode:
            lines = [line for line in run.stderr.splitlines() if line.strip()]
            return {"failed": lines[-1][:500] if lines else f"exit status {run.returncode}"}
        found = json.loads(report.read_text())
        return found


def text(results):
    """The results for readers."""
    lines = ["Training step, milliseconds: median [least-greatest] of interleaved rounds; ratio to PyTorch's best.", ""]
    machines = {json.dumps(result["machine"], sort_keys=True): result["machine"] for result in results if "machine" in result}
    for m in machines.values():
        versions = f"torch {m['torch']}, onnxruntime {m['onnxruntime']}"
        lines.append(f"{m['device']}: {m['precision']}, TF32 {m['tf32']}; {versions}")
    for result in results:
        lines += ["", f"{result['case']}, {result['mode']}"]
        if "failed" in result:
            lines.append(f"  failed: {result['failed']}")
            continue
        for name, (median, least, greatest) in result["milliseconds"].items():
            lines.append(f"  {name:22} {median:9.3f} [{least:.3f}-{greatest:.3f}]")
        lines.append(f"  {'ratio':22} {result['ratio_to_best']:9.2f}   batch {result['batch']}")
        for name, (time, part) in result.get("hottest", {}).items():
            lines.append(f"  {name:22} {time:9.3f}   {part:.0%} of the step")
        if "profile" in result:
            lines.append(f"  profile failed: {result['profile']['failed']}")
        for operator, names in result.get("not_on_device", {}).items():
            lines.append(f"  not on the device: {len(names)} {operator}, {', '.join(names[:3])}")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [*CASES, *LARGE_CASES]
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--only", action="append", choices=known, help="run this case (may be repeated)")
    parser.add_argument("--mode", action="append", choices=list(MODES), help="run this mode (may be repeated)")
    parser.add_argument("--batch", type=int, help="in place of each case's, where memory is short")
    parser.add_argument("--forms", default="eager,channels_last,compile", help="what of PyTorch to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1, help="on the CPU")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one case in one mode")
    parser.add_argument("--quick", action="store_true", help="tiny batches and networks, few and short rounds")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results", help="folder for the results")
    options = parser.parse_args()
    passed = ["--device", options.device, "--threads", str(options.threads)]
    passed += [] if options.batch is None else ["--batch", str(options.batch)]
    passed += ["--quick", "--seconds", "0.05"] if options.quick else []
    # a CPU has no TF32
    modes = options.mode or [mode for mode in MODES if options.device == "cuda" or mode != "tf32"]
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / f"train_step-{options.device}{'-quick' if options.quick else ''}"
    results = []
    for case in options.only or known:
        for mode in modes:
            rounds = min(options.rounds, 3) if options.quick else options.rounds
            found = measured(case, [*MODES[mode], *passed], options.forms, rounds, options.timeout)
            results.append({"case": case, "mode": mode, **found})
            write(stem.with_suffix(".json"), results)
            stem.with_suffix(".txt").write_text(text(results))
            print(text(results[-1:]).rpartition("\n\n")[2], flush=True)


if __name__ == "__main__":
    main()
