"""Compiled networks against the same networks in PyTorch with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from netdsl.elaborate import load_text
from netdsl.ir import Graph
from netdsl.lower import initial_parameters, lower_graph
from tests.onnx_running import model_of, randomised, run_net, session

torch.set_num_threads(1)
LENET_TABLE = [
    [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5],
    [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5], [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5], [0, 1, 2, 3, 4, 5],
]  # fmt: skip


def weights(graph: Graph) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor]]:
    values = randomised(graph, initial_parameters(graph, seed=0))
    return values, {name: torch.from_numpy(value) for name, value in values.items()}


def image(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def assert_close(ours: np.ndarray, theirs: torch.Tensor) -> None:
    """Equal to 1e-5 of the largest output."""
    assert ours.shape == tuple(theirs.shape)
    scale = max(1.0, float(theirs.abs().max()))
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5 * scale)


def test_lenet5() -> None:
    graph = load_text(f"""net lenet5 : image[1, 32, 32] -> distance {{
        c1 = image -> conv(6, 5, pad = 0) @c1 -> scaled_tanh
        s2 = c1 -> avg_pool(2) -> scale_shift @s2 -> scaled_tanh
        c3 = s2 -> conv(16, 5, pad = 0, connect = {LENET_TABLE}) @c3 -> scaled_tanh
        s4 = c3 -> avg_pool(2) -> scale_shift @s4 -> scaled_tanh
        f6 = s4 -> conv(120, 5, pad = 0) @c5 -> scaled_tanh -> flatten -> dense(84) @f6 -> scaled_tanh
        distance = f6 -> rbf(10) @rbf
    }}""")
    values, p = weights(graph)
    for output, inputs in enumerate(LENET_TABLE):
        missing = [i for i in range(6) if i not in inputs]
        assert not values["c3.weight"][output, missing].any() and values["c3.weight"][output, inputs].all()

    def tanh(t: torch.Tensor) -> torch.Tensor:
        return 1.7159 * torch.tanh(t * 2 / 3)

    def subsample(t: torch.Tensor, name: str) -> torch.Tensor:
        t = F.avg_pool2d(t, 2)
        return tanh(t * p[f"{name}.scale"].view(-1, 1, 1) + p[f"{name}.bias"].view(-1, 1, 1))

    data = image(3, 1, 32, 32)
    t = subsample(tanh(F.conv2d(torch.from_numpy(data), p["c1.weight"], p["c1.bias"])), "s2")
    t = subsample(tanh(F.conv2d(t, p["c3.weight"], p["c3.bias"])), "s4")
    t = tanh(F.conv2d(t, p["c5.weight"], p["c5.bias"])).flatten(1)
    t = tanh(F.linear(t, p["f6.weight"], p["f6.bias"]))
    want = ((t[:, None] - p["rbf.codes"]) ** 2).sum(2)
    assert_close(run_net(graph, values, image=data)["distance"], want)


RESNET = """
block conv_bn(width, kernel = 3, stride = 1) : x -> y {
    y = x -> conv(width, kernel, stride, bias = false) @conv -> bn @bn
}
net resnet : image[3, 32, 32] -> logits {
    x = image -> conv_bn(16) @stem -> relu
    for width, stride in [[16, 1], [16, 1], [32, 2], [32, 1], [64, 2], [64, 1]] {
        main = x -> conv_bn(width, 3, stride) -> relu -> conv_bn(width)
        skip = x if stride == 1 else x -> conv_bn(width, 1, stride)
        x = main + skip -> relu
    }
    logits = x -> global_avg_pool -> dense(10) @fc
}"""


def test_resnet() -> None:
    graph = load_text(RESNET)
    values, p = weights(graph)

    # the blocks in the order of their application: main 1, main 2, and the skip where there is one
    names = iter(dict.fromkeys(node.block for node in graph.nodes if node.op.name == "conv"))

    def torch_conv_bn(t: torch.Tensor, stride: int = 1) -> torch.Tensor:
        name = next(names)
        w, q = p[f"{name}/conv.weight"], f"{name}/bn."
        t = F.conv2d(t, w, stride=stride, padding=w.shape[2] // 2)
        return F.batch_norm(t, p[q + "running_mean"], p[q + "running_var"], p[q + "scale"], p[q + "bias"])

    data = image(2, 3, 32, 32)
    t = torch_conv_bn(torch.from_numpy(data)).relu()
    for stride in (1, 1, 2, 1, 2, 1):
        main = torch_conv_bn(torch_conv_bn(t, stride).relu())
        t = (main + (t if stride == 1 else torch_conv_bn(t, stride))).relu()
    want = F.linear(t.mean((2, 3)), p["fc.weight"], p["fc.bias"])
    assert_close(run_net(graph, values, image=data)["logits"], want)


def test_unet_of_any_size() -> None:
    graph = load_text("""net unet : image[1, H = 64, W = 48] -> scores {
        skip[0] = image -> conv(8, 3) @down0 -> relu
        skip[1] = skip[0] -> max_pool(2) -> conv(16, 3) @down1 -> relu
        x = skip[1] -> max_pool(2) -> conv(32, 3) @bottom -> relu
        up = x -> deconv(16, 2, 2) @rise1
        x = concat((skip[1], up) -> crop_like, up) -> conv(16, 3) @up1 -> relu
        up = x -> deconv(8, 2, 2) @rise0
        x = concat((skip[0], up) -> crop_like, up) -> conv(8, 3) @up0 -> relu
        scores = x -> upsample(2, mode = "bilinear") -> conv(2, 1) @out
    }""")
    values, p = weights(graph)

    def conv(t: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv2d(t, p[f"{name}.weight"], p[f"{name}.bias"], padding=p[f"{name}.weight"].shape[2] // 2)

    for height, width in ((64, 48), (37, 90)):
        data = image(2, 1, height, width)
        t, kept = torch.from_numpy(data), []
        for d in range(2):
            kept.append(conv(t, f"down{d}").relu())
            t = F.max_pool2d(kept[-1], 2)
        t = conv(t, "bottom").relu()
        for d in (1, 0):
            up = F.conv_transpose2d(t, p[f"rise{d}.weight"], p[f"rise{d}.bias"], stride=2)
            top, left = ((kept[d].shape[i] - up.shape[i]) // 2 for i in (2, 3))
            cropped = kept[d][:, :, top : top + up.shape[2], left : left + up.shape[3]]
            t = conv(torch.cat([cropped, up], 1), f"up{d}").relu()
        want = conv(F.interpolate(t, scale_factor=2, mode="bilinear", align_corners=False), "out")
        assert_close(run_net(graph, values, image=data)["scores"], want)


CONVOLUTIONS = [
    ([3, 11, 9], "4, 3"),
    ([3, 11, 9], "4, 4"),
    ([3, 11, 9], "4, [2, 5], stride = [3, 2], bias = false"),
    ([4, 11, 9], "6, 3, groups = 2, dilation = 2"),
    ([4, 11, 9], "8, 3, groups = 4, pad = [2, 0]"),
    ([4, 11, 9], "4, 2, dilation = 3, stride = 2"),
    ([3, 17], "4, 4, stride = 2"),
    ([2, 5, 7, 6], "3, [1, 3, 2], dilation = [1, 2, 1]"),
]


@pytest.mark.parametrize(("shape", "arguments"), CONVOLUTIONS)
def test_convolution(shape: list[int], arguments: str) -> None:
    graph = load_text(f"net a : x{shape} -> y {{ y = x -> conv({arguments}) }}")
    values, p = weights(graph)
    a, rank = graph.nodes[0].args, len(shape) - 1
    data = image(2, *shape)
    if a.pad == "same":
        totals = [d * (k - 1) for k, d in zip(a.kernel, a.dilation, strict=True)]
        pads = [(total // 2, total - total // 2) for total in totals]
    else:
        pads = [(cells, cells) for cells in a.pad]
    padded = np.pad(data, [(0, 0), (0, 0), *pads])
    convolve = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    want = convolve(torch.from_numpy(padded), p["y.conv.weight"], p.get("y.conv.bias"), stride=a.stride,
                    dilation=a.dilation, groups=a.groups)  # fmt: skip
    if a.pad == "same":
        assert want.shape[2:] == tuple(-(-n // s) for n, s in zip(shape[1:], a.stride, strict=True))
    assert_close(run_net(graph, values, x=data)["y"], want)


DECONVOLUTIONS = [
    ([3, 5, 7], "4, 2, stride = 2"),
    ([3, 5, 7], "4, 3, stride = 2"),
    ([3, 5, 7], "4, 4, stride = 1, bias = false"),
    ([3, 5, 7], "4, 1, stride = 3"),
    ([3, 5, 7], "4, [2, 5], stride = [4, 3]"),
    ([4, 5, 7], "6, 3, stride = 2, groups = 2, dilation = 2"),
    ([4, 5, 7], "6, 3, stride = 2, pad = 1"),
    ([4, 5, 7], "6, 3, stride = 2, pad = 1, output_pad = 1"),
    ([4, 5, 7], "6, 5, stride = 3, pad = [0, 2], output_pad = [2, 0]"),
    ([4, 5, 7], "6, 2, stride = 2, dilation = 3, pad = 0, output_pad = 1"),
    ([3, 9], "4, 5, stride = 4"),
    ([2, 3, 4, 5], "3, [1, 2, 3], stride = [2, 1, 2]"),
]


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
@pytest.mark.parametrize(("shape", "arguments"), DECONVOLUTIONS)
def test_deconvolution(shape: list[int], arguments: str, provider: str) -> None:
    graph = load_text(f"net a : x{shape} -> y {{ y = x -> deconv({arguments}) }}")
    values, p = weights(graph)
    model = model_of(lower_graph(graph, "inference", provider=provider), values)
    pads = [list(at.ints) for n in model.graph.node for at in n.attribute if at.name == "pads"]
    assert provider == "cpu" or pads[0][: len(pads[0]) // 2] == pads[0][len(pads[0]) // 2 :]
    a, rank = graph.nodes[0].args, len(shape) - 1
    data = image(2, *shape)
    transposed = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    full = transposed(torch.from_numpy(data), p["y.deconv.weight"], stride=a.stride, dilation=a.dilation,
                      groups=a.groups).numpy()  # fmt: skip
    for axis, (k, s, d) in enumerate(zip(a.kernel, a.stride, a.dilation, strict=True), start=2):
        if a.pad == "same":
            total = d * (k - 1) + 1 - s
            begin, end = (total // 2, total - total // 2) if total >= 0 else (0, total)
            assert full.shape[axis] - begin - end == data.shape[axis] * s
        else:
            pads = a.pad if isinstance(a.pad, list) else [a.pad] * rank
            begin, end = pads[axis - 2], pads[axis - 2] - a.output_pad[axis - 2]
        full = np.take(full, range(begin, full.shape[axis] - max(end, 0)), axis)
        full = np.pad(full, [(0, -min(end, 0)) if i == axis else (0, 0) for i in range(full.ndim)])
    want = torch.from_numpy(full)
    if "y.deconv.bias" in p:
        want = want + p["y.deconv.bias"].view(-1, *(1,) * rank)
    assert_close(session(model).run(["y"], {"x": data})[0], want)
