"""Targets that lie on the image: they move with it; and values that a loss cannot take."""

import numpy as np
import pytest

from netdsl import DataError
from netdsl.elaborate import load_text
from netdsl.runtime.data import Samples
from netdsl.runtime.feeding import Feed, sizes_of
from netdsl.runtime.transforms import Pipeline


def feed(target, values, loss="binary_cross_entropy(s, m)", layers="conv(1, 3)"):
    graph = load_text(f"""net n : image[1, 8, 8] -> s {{ s = image -> {layers} }}
    train {{
        target = {target}
        loss = {loss}
        optimizer = sgd(lr = 0.1)
        batch = 4
        epochs = 1
        augment = [flip, shift(2)]
    }}""")
    assert graph.training is not None
    images = np.random.default_rng(0).random((6, 1, 8, 8), np.float32).round()
    pipeline = Pipeline([*graph.training.prepare, *graph.training.augment])
    return Feed(graph, Samples(images, images * values if values.ndim == 0 else values), pipeline, where="samples")


def test_a_map_of_values_moves_with_its_image():
    batch = feed("value(m, [1, 8, 8])", np.float32(1)).batch(np.arange(6), augment=(0, 0))
    np.testing.assert_array_equal(batch["image"], batch["m"])


def test_a_map_of_another_size_cannot_be_moved():
    labels = np.zeros((6, 4, 4), np.int64)
    with pytest.raises(DataError, match=r"\[8, 8\].*\[4, 4\]"):
        feed("class(m, [4, 4])", labels, "cross_entropy(s, m)", "max_pool(2) -> conv(2, 1)")


def test_binary_cross_entropy_refuses_targets_beyond_one():
    with pytest.raises(DataError, match="255"):
        feed("value(m, [1, 8, 8])", np.float32(255))


@pytest.mark.parametrize(("height", "told"), [(8, None), (6, None), (7, "6 is not 7"), (4, "0 is less than 1")])
def test_samples_are_held_to_the_conditions_of_the_net(height, told):
    graph = load_text("""net n : image[1, H = 8, 4] -> y, z {
        y = (image -> max_pool(2) -> upsample(2)) + image
        z = image -> conv(1, [5, 1], pad = 0)
    }""")
    shapes = {"image": (1, height, 4)}
    if told is None:
        assert sizes_of(graph, shapes) == {"H": height}
    else:
        with pytest.raises(DataError, match=told):
            sizes_of(graph, shapes)
