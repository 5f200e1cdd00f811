"""Of the zoo's fully convolutional networks, what no figure tells: where scores lie, and what is computed."""

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from onnx_running import run_net
from zoo import ZOO, load, named

import netdsl
from netdsl.analysis.receptive import fields_of
from netdsl.lower import initial_parameters

STRIDES = (32, 16, 8)
SIDES = [f"side[{s}]" for s in range(1, 5)]


def centre(track):
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
def test_scores_lie_over_the_pixels_that_they_are_of(net, given, names, at):
    """So the offsets of the crops are right: each score's field is around its pixel (U-Net's are of the inner ones)."""
    graph = load(net, given).graph
    fields = fields_of(graph.inputs, graph.nodes)
    for name in names:
        (field,) = fields[named(graph, name)].values()
        assert field is not None and not field.paths
        assert {(Fraction(t.shift, len(t.lo)), centre(t)) for t in field.axes} == {(1, at)}, name


def mean_field(unary, features, weights, steps):
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


def test_mean_field_steps_equal_the_algorithm(tmp_path):
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
