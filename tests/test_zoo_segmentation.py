"""Of the zoo's fully convolutional networks, what no figure tells: where scores lie, and what is computed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_running import randomised, run_net
from torch.nn import functional as F
from zoo import ZOO, load, named

import netdsl
from netdsl.analysis.receptive import Track, fields_of
from netdsl.ir import Graph
from netdsl.lower import initial_parameters

torch.set_num_threads(1)

STRIDES = (32, 16, 8)
SIDES = [f"side[{s}]" for s in range(1, 5)]


def centre(track: Track) -> Fraction:
    """Where the middle of the field of output 0 is: of the band around a line that holds those of all outputs."""
    period = len(track.lo)
    low = min(Fraction(lo) - Fraction(track.shift * u, period) for u, lo in enumerate(track.lo))
    high = max(Fraction(hi) - Fraction(track.shift * u, period) for u, hi in enumerate(track.hi))
    return (low + high) / 2


@pytest.mark.parametrize(
    ("net", "given", "names", "at"),
    [
        *(("fcn", {"stride": stride}, ["score"], 0) for stride in STRIDES),
        ("hed", {}, ["side[0]", *SIDES, "fused"], 0),
        ("deepskeleton", {}, [*SIDES, "scores"], 0),
        ("unet", {}, ["scores"], 92),
        ("segnet:segnet", {}, ["scores"], 0),
    ],
)
def test_scores_lie_over_the_pixels_that_they_are_of(net: str, given: Mapping[str, Any], names: list[str], at: int) -> None:
    """So the offsets of the crops are right: each score's field is around its pixel (U-Net's are of the inner ones)."""
    graph = load(net, given).graph
    fields = fields_of(graph.inputs, graph.nodes)
    for name in names:
        (field,) = fields[named(graph, name)].values()
        assert field is not None and not field.paths
        assert {(Fraction(t.shift, len(t.lo)), centre(t)) for t in field.axes} == {(1, at)}, name


class Weights:
    """A net's weights, moved away from zeros and ones, for PyTorch to take in the order in which the net applies them."""

    def __init__(self, graph: Graph) -> None:
        self.values = randomised(graph, initial_parameters(graph, seed=0))
        self._left = iter([torch.from_numpy(value) for value in self.values.values()])

    def take(self, count: int) -> list[torch.Tensor]:
        return list(islice(self._left, count))

    def conv(self, x: torch.Tensor, **options: Any) -> torch.Tensor:
        return F.conv2d(x, *self.take(2), **options)

    def bn(self, x: torch.Tensor) -> torch.Tensor:
        scale, bias, mean, variance = self.take(4)
        return F.batch_norm(x, mean, variance, scale, bias)


def equal(graph: Graph, weights: Weights, image: np.ndarray, expected: torch.Tensor) -> None:
    assert weights.take(1) == [], "weights are left"
    (found,) = run_net(graph, weights.values, image=image).values()
    assert found.shape == tuple(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1.0, float(expected.abs().max())))


def test_fcn_8s_equals_torch() -> None:
    """With the paddings, crops and offsets of the authors' voc-fcn8s/val.prototxt."""
    graph = load("fcn", {"width": 4, "classes": 3, "H": 33, "W": 50}).graph
    image, w = np.random.default_rng(7).standard_normal((2, 3, 33, 50)).astype(np.float32), Weights(graph)
    x, pool = torch.from_numpy(image), {}
    for stage, convs in enumerate((2, 2, 3, 3, 3), start=1):
        for i in range(convs):
            x = w.conv(x, padding=100 if (stage, i) == (1, 0) else 1).relu()
        x = pool[stage] = F.max_pool2d(x, 2, ceil_mode=True)
    x = w.conv(w.conv(w.conv(x).relu()).relu())
    for stage, offset in ((4, 5), (3, 9)):
        x = F.conv_transpose2d(x, *w.take(1), stride=2)
        x = x + w.conv(pool[stage])[:, :, offset : offset + x.shape[2], offset : offset + x.shape[3]]
    x = F.conv_transpose2d(x, *w.take(1), stride=8)
    equal(graph, w, image, x[:, :, 31 : 31 + 33, 31 : 31 + 50])


def test_segnet_equals_torch() -> None:
    """At odd sizes too, which the pools round up."""
    graph = load("segnet:segnet", {"width": 4, "classes": 3, "H": 45, "W": 58}).graph
    image, w = np.random.default_rng(7).standard_normal((2, 3, 45, 58)).astype(np.float32), Weights(graph)
    x, kept = torch.from_numpy(image), []
    for convs in (2, 2, 3, 3, 3):
        for _ in range(convs):
            x = w.bn(w.conv(x, padding=1)).relu()
        size = x.shape
        x, places = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
        kept.append((places, size, convs))
    for stage, (places, size, convs) in reversed([*enumerate(kept)]):
        x = F.max_unpool2d(x, places, 2, output_size=size)
        for _ in range(convs if stage else convs - 1):
            x = w.bn(w.conv(x, padding=1)).relu()
    equal(graph, w, image, w.conv(x, padding=1))


def mean_field(unary: np.ndarray, features: list[np.ndarray], weights: list[np.ndarray], steps: int) -> np.ndarray:
    """Zheng et al. 2015, algorithm 1, cell by cell. unary: [C, N]; features: [F, N] of each kernel, of bandwidth 1;
    weights: two of filters, and the compatibility, all [C, C]."""
    scores, (*filters, compatibility) = unary, weights
    cells = range(unary.shape[1])
    for _ in range(steps):
        q = np.exp(scores) / np.exp(scores).sum(0)
        messages = np.zeros_like(q)
        for f, weight in zip(features, filters, strict=True):
            for i in cells:
                near = np.array([np.exp(-((f[:, i] - f[:, j]) ** 2).sum() / 2) * (i != j) for j in cells])
                messages[:, i] += weight @ (q @ near / near.sum())
        scores = unary + compatibility @ messages
    return scores


TEXT = """from "{path}" import distances, gaussian_filter, mean_field
net f : unary[3, 3, 4], colour[2, 3, 4] -> y {{
    place = coordinates(colour)
    others = (place -> distances) > 0
    smooth = (place / 2, others) -> gaussian_filter
    bilateral = (concat(place / 5, colour), others) -> gaussian_filter
    share step = mean_field @step
    u = reshape(unary, [3, -1])
    y = u
    for t in range(4) {{ y = (u, y, smooth, bilateral) -> step }}
}}"""


def test_mean_field_steps_equal_the_algorithm(tmp_path: Path) -> None:
    file = tmp_path / "f.net"
    file.write_text(TEXT.format(path=Path(os.path.relpath(ZOO / "crf_as_rnn.net", tmp_path)).as_posix()))
    graph = netdsl.load(str(file)).graph
    rng = np.random.default_rng(0)
    unary, colour = (rng.standard_normal((1, channels, 3, 4)).astype(np.float32) for channels in (3, 2))
    values = {name: rng.standard_normal((3, 3, 1)).astype(np.float32) for name in initial_parameters(graph, 0)}
    found = run_net(graph, values, unary=unary, colour=colour)["y"]
    weights = [value[..., 0] for value in values.values()]
    place = np.stack(np.mgrid[:3, :4]).reshape(2, -1)
    features = [place / 2, np.concatenate([place / 5, colour.reshape(2, -1)])]
    expected = mean_field(unary.reshape(3, -1).astype(np.float64), features, weights, 4)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-4)
