"""The two sides of benchmarks/fashion.py are the same net and the same recipe."""

import numpy as np
import pytest
import torch

import netdsl
from benchmarks.fashion import CHECKED_STEPS, NET, FashionResNet, Recipe, check, held_out
from benchmarks.twins import tensors_of
from netdsl.lower import initial_parameters
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.transforms import Pipeline
from netdsl.training.schedules import rate_at

NETWORK = netdsl.load(NET)
TRAINING = NETWORK.graph.training
RECIPE = Recipe(TRAINING)


def images(count):
    return np.random.default_rng(0).integers(0, 256, (count, 1, 28, 28), dtype=np.uint8)


def test_the_twins_agree():
    count = CHECKED_STEPS * RECIPE.batch
    labels = np.random.default_rng(1).integers(0, 10, count)
    samples = Samples(images(count), labels)
    assert max(check(NETWORK, Data(samples, samples, "noise", "")).values()) < 1e-2


def test_the_rates_agree():
    schedule, steps = TRAINING.optimizer.rate, 390
    for step in range(RECIPE.epochs * steps):
        ours = rate_at(schedule, step=step, steps_per_epoch=steps, epochs=RECIPE.epochs)
        assert RECIPE.rate(step, steps) == pytest.approx(ours, rel=1e-9, abs=1e-12)


def test_the_images_agree():
    """What PyTorch makes of an image is among all that netdsl may make of it, and every one of these comes up."""
    pipeline = Pipeline((*TRAINING.prepare, *TRAINING.augment))
    image = images(1)
    plain = pipeline.apply(image)
    np.testing.assert_allclose(RECIPE.prepared(image).numpy(), plain, rtol=1e-5, atol=1e-6)
    many = np.repeat(plain, 1000, axis=0)
    ours = pipeline.augment(many, np.arange(1000), seed=0, epoch=0, fill=pipeline.black(1))
    theirs = RECIPE.augmented(torch.from_numpy(many), torch.manual_seed(0)).numpy()
    assert theirs.shape == ours.shape

    def kinds(batch):
        return {np.round(sample, 4).tobytes() for sample in batch}

    assert kinds(ours) == kinds(theirs)


def test_the_initial_weights_are_of_one_distribution():
    torch.manual_seed(0)
    module = FashionResNet(NETWORK.graph)
    module.initialise()
    theirs = tensors_of(module, NETWORK.graph)
    for name, value in initial_parameters(NETWORK.graph, 0).items():
        assert theirs[name].std() == pytest.approx(value.std(), rel=5 / value.size**0.5), name


def test_the_held_out_samples_are_no_test_samples():
    train, test = Samples(images(12_000), np.arange(12_000)), Samples(images(5), np.arange(5) - 5)
    parts = held_out(Data(train, test, "numbers", ""))
    assert parts.train.targets.tolist() == list(range(2_000))
    assert parts.validation.targets.tolist() == list(range(2_000, 12_000))
