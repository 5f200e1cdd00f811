"""LeNet-5 (1998) trained as `examples/zoo/lenet5.net` says, with the recorded accuracy of the last epoch.

    python benchmarks/lenet5.py --out benchmarks/results/lenet5.json

On the digits that ship with the package (by file order the first 1,437 of 1,797 train, the last 360 validate; `few = true`,
as `make demo` runs it) with three seeds, and on Fashion-MNIST (60,000 train, 10,000 test), where it is installed, with
one.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netdsl
from benchmarks.machine import machine
from benchmarks.record import compact, write

NET = Path(__file__).resolve().parent.parent / "examples" / "zoo" / "lenet5.net"


def train(data, seed, **settings):
    """Train once; the last epoch's accuracy on the validation samples, and the seconds of training."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = netdsl.load(NET, **settings).trainer(data, seed=seed, out=folder)
        start = time.perf_counter()
        history = trainer.run()
        seconds = time.perf_counter() - start
    last = history.epochs[-1]
    return {
        "data": data, "split": trainer.data.split, "seed": seed, "epochs": last.epoch,
        "accuracy": round(last.validation_metrics["accuracy"], 4), "loss": round(last.validation_loss, 4),
        "training_seconds": round(seconds, 1),
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    options = parser.parse_args()
    runs = [train("digits", seed, few=True) for seed in (0, 1, 2)]
    mean = round(statistics.mean(run["accuracy"] for run in runs), 4)
    try:
        runs.append(train("fashion-mnist", 0))
    except netdsl.DataError as error:
        print(error)
    report = {
        "command": "python benchmarks/lenet5.py",
        "machine": machine("onnxruntime", "numpy"),
        "digits_mean_accuracy": mean,
        "runs": runs,
    }
    print(compact(report))
    if options.out:
        write(options.out, report)


if __name__ == "__main__":
    main()
