"""A ResNet on Fashion-MNIST as `examples/fashion_resnet.net` says, three seeds, and the same recipe in PyTorch.

    python benchmarks/fashion.py --out benchmarks/results/fashion.json

Before anything is trained, both nets get the same weights: their logits must agree, and their weights after some steps of
training. Then the sides take turns, seed by seed, each with random numbers of its own (weights, order, augmentation). The
recipe was chosen on the last 10,000 of the training images, held out (`--pilot` repeats that); the runs here train on all
60,000, and what is recorded is the accuracy after the last epoch on the 10,000 test images. Runs that --out has already are
kept, and one that was stopped goes on from its last epoch. Fashion-MNIST has to be installed.
"""

import argparse
import hashlib
import json
import math
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import netdsl
from benchmarks.machine import machine
from benchmarks.record import compact, write
from benchmarks.twins import Basic, load, tensors_of
from netdsl.files import atomic_write
from netdsl.lower import initial_parameters
from netdsl.runtime.data import Data
from netdsl.runtime.data.dataset import take
from netdsl.runtime.data.of_net import data_of_net
from netdsl.runtime.directory import LAST
from netdsl.runtime.progress import progress_on
from netdsl.runtime.session import choose_device, open_session
from netdsl.runtime.state import load_tensors, named_tensors
from netdsl.runtime.stepper import Stepper
from netdsl.training.step import build_step

NET = Path(__file__).resolve().parent.parent / "examples" / "fashion_resnet.net"
SEEDS = (0, 1, 2)
HELD_OUT = 10_000
CHECKED_STEPS = 5
TOLERANCE = 1e-2  # of each tensor's change in so many steps, relative to the change


class FashionResNet(nn.Module):
    """The net of the example file at its default hyperparameters."""

    def __init__(self, graph):
        super().__init__()
        widths, blocks = graph.hyperparameters["widths"], graph.hyperparameters["blocks"]
        channels = widths[0]
        self.conv, self.bn = nn.Conv2d(1, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
        layers = []
        for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
            for i in range(count):
                layers.append(Basic(channels, width, 2 if stage > 0 and i == 0 else 1))
                channels = width
        self.blocks, self.dense = nn.Sequential(*layers), nn.Linear(channels, 10)

    def forward(self, x):
        x = self.blocks(functional.relu(self.bn(self.conv(x))))
        return self.dense(x.mean((2, 3)))

    def initialise(self):
        """netdsl's defaults: He normal by fan-in, the layer before the loss at a tenth of that, no bias."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            self.dense.weight.mul_(0.1)
            self.dense.bias.zero_()


class Recipe:
    """The train block for PyTorch: sgd with a cosine, `prepare` = [scale, normalize], `augment` = [shift, flip]."""

    def __init__(self, training):
        prepare, augment = dict(training.prepare), dict(training.augment)
        assert [*prepare] == ["scale", "normalize"] and [*augment] == ["shift", "flip"], "write the twin's recipe anew"
        assert (training.optimizer.kind, training.optimizer.rate.kind) == ("sgd", "cosine")
        self.batch, self.epochs, self.pixels = training.batch, training.epochs, augment["shift"]["pixels"]
        self.factor, normalize = prepare["scale"]["factor"], prepare["normalize"]
        self.mean, self.std = normalize["mean"], normalize["std"]
        self.schedule, self.arguments = training.optimizer.rate.arguments, training.optimizer.arguments

    def optimizer(self, module):
        a = self.arguments
        return torch.optim.SGD(
            module.parameters(), lr=self.schedule["start"], momentum=a["momentum"], nesterov=a["nesterov"],
            weight_decay=a["weight_decay"], fused=True,
        )  # fmt: skip

    def rate(self, step, steps):
        """The learning rate of a step, of so many in an epoch: it rises for some epochs, then falls along a cosine."""
        warmup, start = self.schedule["warmup"] * steps, self.schedule["start"]
        if step < warmup:
            return float(start * (step + 1) / warmup)
        return float(start * (1 + math.cos(math.pi * (step - warmup) / (self.epochs * steps - warmup))) / 2)

    def prepared(self, images):
        return (torch.from_numpy(images).float() * self.factor - self.mean) / self.std

    def augmented(self, images, generator):
        """Each image padded with black and cropped at random, and mirrored with probability 1/2."""
        count, _, height, width = images.shape
        padded = functional.pad(images, (self.pixels,) * 4, value=-self.mean / self.std)
        top, left = torch.randint(0, 2 * self.pixels + 1, (2, count), generator=generator)
        columns = torch.arange(width).expand(count, -1)
        mirrored = torch.rand(count, generator=generator) < 0.5
        columns = torch.where(mirrored[:, None], columns.flip(1), columns) + left[:, None]
        rows = torch.arange(height) + top[:, None]
        return padded[torch.arange(count)[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]


def check(net, data):
    """How far apart the sides are with the same weights: logits, and the change of weights in some steps (relative).

    At a tenth of the recipe's rate, and one that stays: PyTorch's form of momentum differs where it changes.
    """
    graph, recipe = net.graph, Recipe(net.graph.training)
    weights = initial_parameters(graph, 0)
    module = FashionResNet(graph)
    load(module, graph, weights)
    count = CHECKED_STEPS * recipe.batch
    images = recipe.prepared(data.train.inputs[:count])
    labels = torch.from_numpy(data.train.targets[:count])
    device = choose_device("cpu", 1)
    (logits,) = open_session(net.compile(weights=weights), device).run(None, {"image": images.numpy()})
    with torch.no_grad():
        apart = float(np.abs(module.eval()(images).numpy() - logits).max() / np.abs(logits).max())

    stepper = Stepper(build_step(graph, batch=recipe.batch, sizes={"H": 28, "W": 28}, provider="cpu"), device, seed=0)
    load_tensors(stepper, weights)
    optimizer, rate = recipe.optimizer(module.train()), recipe.schedule["start"] / 10
    for step in range(CHECKED_STEPS):
        batch = slice(step * recipe.batch, (step + 1) * recipe.batch)
        stepper.feeds["image"][...], stepper.feeds["label"][...] = images[batch].numpy(), labels[batch].numpy()
        stepper.step(step, rate)
        descend(module, optimizer, images[batch], labels[batch], rate)
    ours, theirs = named_tensors(stepper), tensors_of(module, graph)
    moved = max(
        float(np.linalg.norm(ours[name] - theirs[name]) / np.linalg.norm(theirs[name] - weights[name])) for name in theirs
    )
    assert apart < 1e-4 and moved < TOLERANCE, f"the twins differ: logits by {apart}, what the steps changed by {moved}"
    return {"logits": apart, f"change_in_{CHECKED_STEPS}_steps": moved}


def descend(module, optimizer, images, labels, rate):
    """One step of PyTorch; its loss."""
    optimizer.param_groups[0]["lr"] = rate
    optimizer.zero_grad()
    loss = functional.cross_entropy(module(images), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def train_netdsl(net, data, seed, folder):
    """Train as `netdsl train` does; what it records of the last epoch."""
    trainer = net.trainer(
        data, seed=seed, out=folder, resume=(folder / LAST).exists(), device="cpu", threads=1,
        progress=progress_on(sys.stderr),
    )  # fmt: skip
    history = trainer.run()
    if history.stopped:
        raise KeyboardInterrupt
    last = history.epochs[-1]
    return {"accuracy": last.validation_metrics["accuracy"], "loss": last.validation_loss, "training_loss": last.loss}


def train_pytorch(net, data, seed, folder):
    """The same in PyTorch, with its own random numbers."""
    recipe = Recipe(net.graph.training)
    generator = torch.manual_seed(seed)
    module = FashionResNet(net.graph)
    module.initialise()
    module = module.to(memory_format=torch.channels_last)
    optimizer = recipe.optimizer(module)
    images, labels = recipe.prepared(data.train.inputs), torch.from_numpy(data.train.targets)
    steps, loss, first, kept = len(images) // recipe.batch, math.nan, 0, folder / "last.pt"
    if kept.exists():
        first, loss, weights, moments, numbers = torch.load(kept)
        module.load_state_dict(weights)
        optimizer.load_state_dict(moments)
        generator.set_state(numbers)
    for epoch in range(first, recipe.epochs):
        order = torch.randperm(len(images), generator=generator)[: steps * recipe.batch].view(steps, -1)
        losses = []
        module.train()
        for step, batch in enumerate(order):
            inputs = recipe.augmented(images[batch], generator).contiguous(memory_format=torch.channels_last)
            rate = recipe.rate(epoch * steps + step, steps)
            losses.append(descend(module, optimizer, inputs, labels[batch], rate))
        loss = statistics.fmean(losses)
        print(f"pytorch, seed {seed}, epoch {epoch + 1}: loss {loss:.4f}", file=sys.stderr, flush=True)
        with atomic_write(kept) as file:
            torch.save((epoch + 1, loss, module.state_dict(), optimizer.state_dict(), generator.get_state()), file)
    images, labels = recipe.prepared(data.validation.inputs), torch.from_numpy(data.validation.targets)
    with torch.no_grad():
        logits = torch.cat([module.eval()(part) for part in images.split(500)])
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    return {"accuracy": accuracy, "loss": functional.cross_entropy(logits, labels).item(), "training_loss": loss}


SIDES = {
    "netdsl": train_netdsl,
    "pytorch": train_pytorch,
}


def run(side, net, data, seed, folder):
    """One run, or what is left of it; `folder` keeps it until it is over."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = SIDES[side](net, data, seed, folder)
    return {"by": side, "seed": seed, **{name: round(value, 4) for name, value in figures.items()}}


def summary(runs):
    """Mean and standard deviation of the accuracies of each side that has several."""
    found = {}
    for side in SIDES:
        accuracies = [run["accuracy"] for run in runs if run["by"] == side]
        if len(accuracies) > 1:
            found[side] = {
                "mean_accuracy": round(statistics.mean(accuracies), 4),
                "standard_deviation": round(statistics.stdev(accuracies), 4),
            }
    return found


def held_out(data):
    """The training samples alone, in two parts."""
    count = len(data.train) - HELD_OUT
    parts = take(data.train, slice(0, count)), take(data.train, slice(count, None))
    return Data(*parts, data.name, f"the last {HELD_OUT:,} training samples held out", data.classes)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, help="where to write the results as JSON, after every run")
    parser.add_argument("--runs", type=Path, default=Path("runs/fashion"), help="where runs that are under way are kept")
    parser.add_argument("--pilot", action="store_true", help="train on 50,000 images, and print what is told of the rest")
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = netdsl.load(NET)
    data = data_of_net(net.graph, "fashion-mnist")
    text = NET.read_text(encoding="utf-8")
    folder = options.runs / hashlib.sha256(text.encode()).hexdigest()[:8]  # another recipe's runs are not gone on with
    if options.pilot:
        print(compact(run("netdsl", net, held_out(data), 100, folder / "pilot")))
        return
    runs = []
    if options.out and options.out.exists():
        before = json.loads(options.out.read_text(encoding="utf-8"))
        assert before["file"] == text, f"{options.out} has runs of another recipe: remove it, or name another file"
        runs = before["runs"]
    totals = net.analyze().to_dict()["totals"]
    report = {
        "command": "python benchmarks/fashion.py", "machine": machine("onnxruntime", "torch", "numpy"),
        "parameters": totals["params"], "macs": totals["macs"], "differences": check(net, data), "runs": runs,
        "accuracies": summary(runs), "file": text,
    }  # fmt: skip
    for seed in SEEDS:
        for side in SIDES:
            if any((run["by"], run["seed"]) == (side, seed) for run in runs):
                continue
            runs.append(run(side, net, data, seed, folder / f"{side}-{seed}"))
            report["accuracies"] = summary(runs)
            if options.out:
                write(options.out, report)
    print(compact({name: value for name, value in report.items() if name != "file"}))


if __name__ == "__main__":
    main()
