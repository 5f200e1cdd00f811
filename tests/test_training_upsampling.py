"""One step through layers that enlarge maps, against PyTorch: their sizes follow from scales that inference must see."""

import numpy as np
import pytest
import torch
from torch.nn import functional

import netdsl
from netdsl.runtime.data import Data, Samples

ENLARGE = {
    'upsample(2, mode = "bilinear")': lambda x, w: functional.interpolate(x, scale_factor=2, mode="bilinear"),
    "upsample(3)": lambda x, w: functional.interpolate(x, scale_factor=3, mode="nearest"),
    "deconv(4, 2, stride = 2)": lambda x, w: functional.conv_transpose2d(x, w["s.deconv.weight"], w["s.deconv.bias"], stride=2),
}


@pytest.mark.parametrize("layer", ENLARGE)
def test_a_step_through_an_enlarging_layer_is_pytorchs(tmp_path, layer):
    net = netdsl.loads(f"""
    net up : image[2, 6, 7] -> s {{ s = image -> conv(4, 3) -> tanh -> {layer} -> conv(3, 3) -> tanh -> global_avg_pool }}
    train {{
        target = class(y)
        loss = cross_entropy(s, y)
        optimizer = sgd(lr = 0.1)
        batch = 4
        epochs = 1
    }}""")
    images, labels = np.random.default_rng(1).random((4, 2, 6, 7), np.float32), np.array([0, 2, 1, 2])
    weights = {name: torch.tensor(value, requires_grad=True) for name, value in net.parameters(0).items()}
    samples = Samples(images, labels)
    history = net.train(Data(samples, samples, "made", "all of it twice"), out=tmp_path, device="cpu")

    x = torch.tanh(functional.conv2d(torch.tensor(images), weights["s.conv.weight"], weights["s.conv.bias"], padding=1))
    x = ENLARGE[layer](x, weights)
    x = torch.tanh(functional.conv2d(x, weights["s.conv.1.weight"], weights["s.conv.1.bias"], padding=1))
    loss = functional.cross_entropy(x.mean((2, 3)), torch.tensor(labels))
    loss.backward()
    assert history.epochs[0].loss == pytest.approx(float(loss.detach()), rel=1e-5)
    for name, value in net.parameters().items():
        expected = (weights[name] - 0.1 * weights[name].grad).detach().numpy()
        np.testing.assert_allclose(value, expected, atol=1e-5, err_msg=name)
