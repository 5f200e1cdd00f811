"""The architectures of examples/zoo: their published figures, and that each compiles, runs and learns."""

import math

import numpy as np
import onnx
import onnxruntime
import pytest
import zoo_classification
import zoo_multi_scale
import zoo_others
import zoo_segmentation
from click.testing import CliRunner
from zoo import ZOO, check_figures, feeds, load, losses

from netdsl.cli import main

GROUPS = (zoo_classification, zoo_segmentation, zoo_multi_scale, zoo_others)
FIGURES = [case for group in GROUPS for case in group.FIGURES]
SMALL = [case for group in GROUPS for case in group.SMALL]


def test_every_file_is_run():
    assert {case.net.partition(":")[0] for case in SMALL} == {path.stem for path in ZOO.glob("*.net")}


@pytest.mark.parametrize("path", sorted(ZOO.glob("*.net")), ids=lambda path: path.stem)
def test_checks_without_a_warning(path):
    found = CliRunner().invoke(main, ["check", "--strict", str(path)])
    assert found.exit_code == 0, found.output


@pytest.mark.parametrize("case", FIGURES, ids=str)
def test_figures(case):
    check_figures(case)


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_compiles_and_runs(case):
    net = load(case.net, case.set)
    model = net.compile()
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fed = feeds(net.graph, net.graph.inputs, 2, case.feeds)
    read = {value.name for value in session.get_inputs()}
    outputs = session.run(None, {name: array for name, array in fed.items() if name in read})
    for found, value in zip(outputs, net.graph.outputs.values(), strict=True):
        assert found.shape == (2, *map(int, value.shape))
        assert np.isfinite(found).all()


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_loss_falls(case):
    """By at least a tenth within ten steps on one batch."""
    found = losses(case)
    assert all(map(math.isfinite, found)), found
    assert found[0] > 0 and min(found) <= 0.9 * found[0], found
