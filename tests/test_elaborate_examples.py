"""The examples of the language's description, which the folder examples/ holds: their text, and what they come to."""

from pathlib import Path

import pytest
from net_text import elaborated, ops, params, shape

from netdsl.analysis import analyze

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name, **hyperparameters):
    return elaborated((EXAMPLES / f"{name}.net").read_text(encoding="utf-8"), **hyperparameters)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.net")), ids=lambda path: path.stem)
def test_every_example_is_well_formed_analyzed_and_short_of_nothing(path):
    elaboration = elaborated(path.read_text(encoding="utf-8"))
    assert elaboration.notes == ()
    assert analyze(elaboration.graph).to_dict()["layers"]


@pytest.mark.parametrize(("n", "layers"), [(3, 20), (9, 56)])
def test_resnet(n, layers):
    """He et al. 2016, table 6: 6 n + 2 layers, 0.27 M and 0.85 M parameters (without projections)."""
    found = example("resnet", n=n).graph
    projections = [node for node in found.nodes if node.op.name == "conv" and set(node.args.kernel) == {1}]
    assert ops(found).count("conv") + ops(found).count("dense") - len(projections) == layers
    assert len(projections) == 2
    assert params(found) / 1e6 == pytest.approx({3: 0.27, 9: 0.85}[n], rel=0.02)
    assert shape(found, "logits") == (10,)
    assert set(found.symbols) == {"H", "W"}
    assert found.training is not None
    assert (found.training.batch, found.training.epochs) == (128, 164)


def test_resnet_has_the_parameters_counted_by_hand():
    def conv(inputs, outputs, kernel=3):
        return inputs * outputs * kernel**2 + outputs + 2 * outputs  # with its bias and normalisation

    total, width = conv(3, 16), 16
    for stage in (16, 32, 64):
        total += conv(width, stage) + conv(stage, stage) + 4 * conv(stage, stage)
        total += 0 if stage == width else conv(width, stage, 1)
        width = stage
    assert params(example("resnet").graph) == total + 64 * 10 + 10


def test_the_fabric_joins_scales_and_layers():
    found = example("fabric").graph
    # what the last node depends on: one node more per layer to the left, until all six scales are there
    used = [set(range(max(0, 5 - back), 6)) for back in range(7)]
    assert ops(found).count("sum") == sum(map(len, used))
    assert ops(found).count("conv") == 6 + sum(2 if s in (0, 5) else 3 for scales in used for s in scales)
    assert ops(found).count("upsample") == sum(len(scales - {5}) for scales in used)
    assert shape(found, "logits") == (10,)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_unet(depth):
    found = example("unet", depth=depth, width=8).graph
    assert ops(found).count("deconv") == ops(found).count("concat") == ops(found).count("max_pool") == depth
    assert ops(found).count("conv") == 4 * depth + 3
    assert shape(found, "scores") == (2, 256, 256)
    assert set(found.symbols) == {"H", "W"}
    # an input is legal where every pooling halves it evenly: the concatenations say so
    for size in range(2**depth, 5 * 2**depth):
        sizes = {"H": size, "W": size}
        fits = all(c.left.at(sizes) == c.right.at(sizes) for c in found.constraints)
        assert fits == (size % 2**depth == 0)


def test_the_two_towers_of_the_siamese_net_have_one_set_of_weights():
    found = example("siamese").graph
    assert ops(found) == ["conv", "relu", "max_pool", "flatten", "dense"] * 2
    assert params(found) == 16 * 25 + 16 + 16 * 14 * 14 * 32 + 32
