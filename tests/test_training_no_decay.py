"""Parameters that weight decay leaves alone, against PyTorch's parameter groups."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import netdsl
from netdsl.elaborate import load_text
from netdsl.runtime.data import Data, Samples
from netdsl.training.step import build_step

TEXT = """net f : x[4] -> y {{ y = x -> dense(6) @a -> scale_shift @s -> tanh -> dense(3, weight_norm = true) @b }}
train {{
    target    = class(label)
    loss      = cross_entropy(y, label)
    optimizer = {optimizer}
    batch     = 8
    epochs    = 3
}}"""
X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
LABELS = np.arange(8) % 3


def logits(p):
    hidden = F.linear(torch.from_numpy(X), p["a.weight"], p["a.bias"]) * p["s.scale"] + p["s.bias"]
    weight = torch._weight_norm(p["b.weight"], p["b.gain"].reshape(-1, 1), 0)
    return F.linear(torch.tanh(hidden), weight, p["b.bias"])


@pytest.mark.parametrize("roles", [["bias", "scale"], ["weight", "gain", "bias", "scale"], ["gain"], []])
@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
def test_exceptions_are_pytorch_s_groups(tmp_path, kind, roles):
    shown = str(roles).replace("'", '"')
    net = netdsl.loads(TEXT.format(optimizer=f"{kind}(0.01, weight_decay = 0.5, no_decay = {shown})"))
    p = {name: torch.tensor(value, requires_grad=True) for name, value in net.parameters(0).items()}
    groups = [
        {"params": [v for name, v in p.items() if (name.split(".")[1] in roles) == apart],
         "weight_decay": 0.0 if apart else 0.5} for apart in (False, True)
    ]  # fmt: skip
    options = {"alpha": 0.9} if kind == "rmsprop" else {}
    classes = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop"}
    optimizer = getattr(torch.optim, classes[kind])([g for g in groups if g["params"]], lr=0.01, **options)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(logits(p), torch.from_numpy(LABELS)).backward()
        optimizer.step()
    samples = Samples(X, LABELS)
    net.train(Data(samples, samples, "made", "all of it twice"), out=tmp_path, device="cpu")
    for name, value in net.parameters().items():
        np.testing.assert_allclose(value, p[name].detach().numpy(), atol=2e-5, err_msg=name)


def test_a_step_without_exceptions_has_no_vector_of_decays():
    sizes = [
        len(build_step(load_text(TEXT.format(optimizer=f"sgd(0.01, weight_decay = 0.5{end})")), batch=8).model.graph.node)
        for end in ("", ', no_decay = ["bias"]')
    ]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("given", ['["biases"]', '"bias"', "[1]", "[[1]]"])
def test_what_no_operator_has_is_an_error(given):
    with pytest.raises(netdsl.NetError) as caught:
        netdsl.loads(TEXT.format(optimizer=f"sgd(0.01, no_decay = {given})"))
    assert caught.value.diagnostics[0].code == "E0205"
    assert '`no_decay` must be a list of what parameters are called in their layers, such as ["bias", "scale"]' in str(caught.value)
