"""Every architecture of examples/zoo at full size: analyzed, compiled, run and trained for up to ten steps.

    python benchmarks/zoo.py --out benchmarks/results/zoo.json [--only resnet ...] [--macs 3e11]

Each net is done in a process of its own: `netdsl analyze` in a fresh process; the ONNX model written to disk, checked by
path, loaded by ONNX Runtime by path and run on one sample; then steps on one fixed random batch of two samples (of one
sample for the largest nets, which `batch` then says) until the loss has fallen by a tenth, at the file's rate, else at
the tests' or at a tenth or a hundredth of it (then `rate` says so). Small nets come first. What is written already is
kept: another call does what is missing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import numpy as np

from benchmarks.machine import machine
from benchmarks.record import write

#: samples in the batch of a training step; the run of the compiled model takes one
BATCH, STEPS = 2, 10
#: what is written of each net in this order, and behind it what is there of some: batch, rate, finite, falls
COLUMNS = ("params", "macs", "analyze_s", "compile_s", "onnx_mb", "peak_gb", "losses")
#: multiply-accumulates of a sample from which a batch is one sample, for time and memory
_LARGE = 2.3e10


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="The JSON file to write, after each net.")
    parser.add_argument("--only", nargs="+", default=[], help="Files of the zoo, without `.net`.")
    parser.add_argument(
        "--macs", type=float, default=1e12, help="Leave out nets of more multiply-accumulates a sample."
    )
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(*json.loads(arguments.one))))
        return
    known = json.loads(arguments.out.read_text())["nets"] if arguments.out and arguments.out.exists() else {}
    for macs, key, net, hyperparameters in sorted(nets(arguments.only), key=lambda entry: entry[:2]):
        if key in known or macs > arguments.macs:
            continue
        known[key] = row(in_process(net, hyperparameters))
        print(key, json.dumps(known[key]), flush=True)
        if arguments.out:
            result = {"command": "python benchmarks/zoo.py", "machine": machine("onnx", "onnxruntime", "numpy"),
                      "batch": BATCH, "columns": COLUMNS, "nets": known}  # fmt: skip
            write(arguments.out, result)


def nets(only):
    """MACs, a key, the net and its hyperparameters: each net of each file, and each variant that has figures."""
    from test_zoo import FIGURES, SMALL
    from zoo import load, shown

    cases = {shown(case.net, case.set): (case.net, dict(case.set)) for case in FIGURES}
    cases |= {shown(case.net, {}): (case.net, {}) for case in SMALL}
    for key, (net, hyperparameters) in cases.items():
        if not only or net.partition(":")[0] in only:
            yield load(net, hyperparameters).analyze().totals.macs, key, net, hyperparameters


def row(found):
    rest = {name: value for name, value in found.items() if name not in COLUMNS}
    return [*(found.get(column) for column in COLUMNS), *([rest] if rest else [])]


def in_process(net, hyperparameters):
    command = [sys.executable, __file__, "--one", json.dumps([net, hyperparameters])]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    found = json.loads(done.stdout.splitlines()[-1])
    return found


def measured(net, hyperparameters):
    from test_zoo import SMALL
    from zoo import ZOO, Small, load

    file, colon, name = net.partition(":")
    settings = [f"--set={key}={json.dumps(value)}" for key, value in hyperparameters.items()]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "netdsl", "analyze", f"{ZOO / file}.net{colon}{name}", *settings, "--json"],
                   check=True, capture_output=True)  # fmt: skip
    analyze = time.perf_counter() - start
    loaded = load(net, hyperparameters)
    totals = loaded.analyze().totals
    found = {"params": totals.params, "macs": totals.macs, "analyze_s": round(analyze, 2), **compiled(loaded)}
    if loaded.graph.training is None:  # a tower that its file trains within another net
        return found
    small = next(case for case in SMALL if case.net == net)
    batch = BATCH if totals.macs < _LARGE else 1
    case = Small(net, hyperparameters, batch, None, small.feeds)
    found |= trained(case) | ({} if batch == BATCH else {"batch": batch})
    # the paper's rate is for its batch, and often for a start from trained weights
    own = loaded.graph.training.optimizer.rate.arguments["start"]
    for rate in (small.rate, own / 10, own / 100):
        if "falls" in found and rate is not None:
            del found["falls"]
            found |= {"rate": rate, **trained(case._replace(rate=rate))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found | {"peak_gb": round(peak / 2**20, 2)}


def compiled(net):
    """The model on disk, checked and run by path."""
    import onnx
    import onnxruntime
    from zoo import feeds

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        start = time.perf_counter()
        net.compile(path)
        seconds = time.perf_counter() - start
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
        onnx.checker.check_model(str(path), full_check=True)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        read = {value.name for value in session.get_inputs()}
        fed = {name: array for name, array in feeds(net.graph, net.graph.inputs, 1, {}).items() if name in read}
        outputs = session.run(None, fed)
    for array, value in zip(outputs, net.graph.outputs.values(), strict=True):
        assert array.shape == (1, *map(int, value.shape)), (value.name, array.shape)
    # in hundreds of residual blocks with untrained statistics numbers grow beyond float32, in any framework
    finite = all(bool(np.isfinite(array).all()) for array in outputs)
    return {"compile_s": round(seconds, 2), "onnx_mb": round(size / 1e6, 1), **({} if finite else {"finite": False})}


def trained(case):
    """How the loss falls, at the case's rate or else the file's."""
    from zoo import losses

    found = losses(case, STEPS)
    return {
        "losses": [float(f"{loss:.4g}") for loss in found],
        **({} if np.nanmin(found) <= 0.9 * found[0] else {"falls": False}),
    }


if __name__ == "__main__":
    main()
