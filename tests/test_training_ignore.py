"""A class that does not count: the target says so once, and loss and metrics follow."""

import numpy as np
import pytest

import netdsl
from netdsl.runtime.data import Data, Samples

TEXT = """net seg : image[1, 8, 8] -> s { s = image -> conv(4, 3) -> tanh -> conv(5, 3) }
train {
    target = class(mask, [8, 8], ignore = 255)
    loss = cross_entropy(s, mask)
    metrics = accuracy(s, mask)
    optimizer = sgd(lr = 0.1)
    batch = 4
    epochs = 1
}"""


def masks(all_ignored):
    generator = np.random.default_rng(0)
    found = generator.integers(0, 5, (4, 8, 8))
    found[generator.random(found.shape) < 0.3] = 255
    return np.full_like(found, 255) if all_ignored else found


@pytest.mark.parametrize("all_ignored", [False, True])
def test_a_step_is_pytorchs_with_ignore_index(tmp_path, all_ignored):
    torch = pytest.importorskip("torch")
    images, mask = np.random.default_rng(1).random((4, 1, 8, 8), np.float32), masks(all_ignored)
    net = netdsl.loads(TEXT)
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in net.parameters(0).items()}
    samples = Samples(images, mask)
    history = net.train(Data(samples, samples, "made", "all of it twice"), out=tmp_path, device="cpu")

    functional = torch.nn.functional
    hidden = functional.conv2d(torch.tensor(images), weights["s.conv.weight"], weights["s.conv.bias"], padding=1)
    logits = functional.conv2d(torch.tanh(hidden), weights["s.conv.1.weight"], weights["s.conv.1.bias"], padding=1)
    total = functional.cross_entropy(logits, torch.tensor(mask), ignore_index=255, reduction="sum")
    counted = max(1, int((mask != 255).sum()))
    (total / counted).backward()
    assert history.epochs[0].loss == pytest.approx(float(total.detach()) / counted, rel=1e-5)
    hits = ((logits.argmax(1).numpy() == mask) & (mask != 255)).sum()
    assert history.epochs[0].metrics["accuracy"] == pytest.approx(hits / counted, rel=1e-5)
    for name, value in net.parameters().items():
        expected = (weights[name] - 0.1 * weights[name].grad).detach().numpy()
        np.testing.assert_allclose(value, expected, atol=1e-5)
