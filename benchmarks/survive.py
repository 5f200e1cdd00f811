"""Training runs that are killed (SIGKILL) at random moments, and resumed: the folder is always whole, the end the same.

    python benchmarks/survive.py --kills 100 --out benchmarks/results/survive.json

A small net with batch statistics, dropout and augmentation trains for so many short epochs that it writes checkpoints
most of the time. After every kill the checkpoints that are there are read, and compared with those that a straight run had
after the same epoch; then the run is resumed. When it is over, another begins. Needs `fork`.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.machine import machine
from benchmarks.record import compact, write
from netdsl.elaborate import load_text
from netdsl.runtime import checkpoint
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import BEST, LAST
from netdsl.runtime.trainer import Trainer

NET = """
net small : image[1, 8, 8] -> logits {
    x = image -> conv(8, 3) -> bn -> relu -> dropout(0.3) -> max_pool(2) -> conv(8, 3) -> bn -> relu
    logits = x -> flatten -> dense(4096) -> relu -> dense(3)
}
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    metrics   = accuracy(logits, label)
    optimizer = adam(lr = cosine(0.01))
    batch     = 8
    epochs    = EPOCHS
    augment   = [shift(1), flip]
}
"""


def train(folder, epochs):
    """Train to the end in this process, from the folder's last checkpoint if there is one."""
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 60)
    images = generator.random((60, 1, 8, 8), np.float32) + 0.3 * labels[:, None, None, None].astype(np.float32)
    data = Data(Samples(images[:48], labels[:48]), Samples(images[48:], labels[48:]), "shades", "in order")
    trainer = Trainer(
        load_text(NET.replace("EPOCHS", str(epochs))), data, directory=folder, device="cpu", threads=1, seed=1
    )
    if (folder / LAST).exists():
        trainer.resume()
    trainer.run()


def started(folder, epochs):
    """A process that trains in the folder; its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    with suppress(BaseException):
        train(folder, epochs)
        status = 0
    os._exit(status)


class Straight:
    """A run that was left alone, with the checkpoint of every epoch."""

    def __init__(self, folder, epochs):
        save = checkpoint.save

        def kept(path, found):
            save(path, found)
            if Path(path).name == LAST:
                save(folder / f"{found.progress.epoch}.safetensors", found)

        child = os.fork()
        if not child:
            checkpoint.save = kept
            train(folder, epochs)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0, "the straight run failed"
        self.epochs = {epoch: contents(folder / f"{epoch}.safetensors") for epoch in range(epochs + 1)}
        self.best = contents(folder / BEST)

    def differences(self, folder):
        """What in a folder is not as the straight run had it at the same epoch."""
        found = []
        if (folder / LAST).exists():
            last = contents(folder / LAST)
            if last != self.epochs[last["epoch"]]:
                found.append(f"the last checkpoint, of epoch {last['epoch']}")
            if last["epoch"] and not (folder / BEST).exists():
                found.append("there is a last checkpoint, and no best one")
        if (folder / BEST).exists():
            best = contents(folder / BEST)
            if best["tensors"] != self.epochs[best["epoch"]]["tensors"]:
                found.append(f"the best checkpoint, of epoch {best['epoch']}")
        return found


def contents(path):
    """All that a checkpoint holds but times, comparable."""
    found = checkpoint.load(path)
    history = found.progress.history
    return {
        "epoch": found.progress.epoch,
        "tensors": {name: array.tobytes() for name, array in found.tensors.items()},
        "optimizer": {s: {n: a.tobytes() for n, a in state.items()} for s, state in found.optimizer.items()},
        "history": [{k: v for k, v in record.items() if k != "images_per_second"} for record in history],
        "running": found.progress.running,
    }


def survive(kills, epochs, seed, folder):
    """Kill and resume so many times, and finish the run that is then under way."""
    generator = random.Random(seed)
    (folder / "straight").mkdir()
    began = time.perf_counter()
    straight = Straight(folder / "straight", epochs)
    longest = time.perf_counter() - began
    done = runs = drafts = 0
    reached = []
    failures = []
    while done < kills:
        run = folder / f"run{runs}"
        run.mkdir()
        over = False
        while not over:
            child = started(run, epochs)
            if done < kills:
                time.sleep(generator.uniform(0, longest / 3))
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            over = status == 0
            if os.WIFSIGNALED(status):
                done += 1
                drafts += any(run.glob(".*"))
                reached.append(contents(run / LAST)["epoch"] if (run / LAST).exists() else 0)
            elif not over:
                failures.append(f"run {runs} ended with the status {status}")
                break
            failures += straight.differences(run)
        names = sorted(path.name for path in run.iterdir())
        if over and (contents(run / LAST) != straight.epochs[epochs] or contents(run / BEST) != straight.best):
            failures.append(f"run {runs} ended otherwise than the straight one")
        if over and names != [BEST, LAST]:
            failures.append(f"run {runs} left {names}")
        runs += 1
    return {"kills": done, "runs": runs, "kills_amid_a_write": drafts, "epochs_at_kills": reached, "failures": failures}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to write the results as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = {
            "command": f"python benchmarks/survive.py --kills {options.kills} --epochs {options.epochs} --seed {options.seed}",
            "machine": machine("onnxruntime", "numpy", "safetensors"),
            **survive(options.kills, options.epochs, options.seed, Path(folder)),
        }
    print(compact(report))
    if options.out:
        write(options.out, report)
    sys.exit(bool(report["failures"]))


if __name__ == "__main__":
    main()
