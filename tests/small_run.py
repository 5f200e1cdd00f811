"""A small net on a few images, trained in a moment, for tests of the trainer and of the folder of its run."""

import os
import signal

import numpy as np

from netdsl.elaborate import load_text
from netdsl.runtime import checkpoint
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.progress import Silence
from netdsl.runtime.trainer import Trainer

TEXT = """
net small : image[1, 12, 12] -> logits {
    x = image -> conv(4, 3) -> bn -> relu -> max_pool(2) -> dropout(0.3) -> conv(6, 3, stride = 2) -> bn -> relu
    logits = x -> flatten -> dropout -> dense(3)
}
train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    metrics   = accuracy(logits, label)
    optimizer = OPTIMIZER
    batch     = 8
    epochs    = 3
    prepare   = [scale(1 / 255), normalize(mean = 0.5, std = 0.25)]
    augment   = [shift(2), flip]
}
"""
SGD = "sgd(lr = cosine(0.1), momentum = 0.9, weight_decay = 1e-3)"


def graph_of(optimizer=SGD):
    return load_text(TEXT.replace("OPTIMIZER", optimizer))


def samples(count, seed, size=12):
    """Bright rows at one of three heights, in noise."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count)
    images = generator.integers(0, 120, (count, 1, size, size), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[0, 1 + 4 * label : 3 + 4 * label] += 120
    return Samples(images, labels)


DATA = Data(samples(61, 0), samples(21, 1), "rows", "drawn apart")


class Told(Silence):
    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


class StopAt(Told):
    """Presses Ctrl-C after so many steps."""

    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def due(self):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return False


def trainer(folder, optimizer=SGD, progress=None, seed=5):
    return Trainer(graph_of(optimizer), DATA, directory=folder, device="cpu", threads=1, seed=seed, progress=progress)


def contents(path):
    found = checkpoint.load(path)
    slots = {slot: {k: v.tobytes() for k, v in state.items()} for slot, state in found.optimizer.items()}
    return {k: v.tobytes() for k, v in found.tensors.items()}, slots
