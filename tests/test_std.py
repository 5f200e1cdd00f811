"""The library, block by block: each is documented, applied, run and differentiated."""

import re

import numpy as np
import pytest
from net_text import elaborated, shape
from onnx_running import run_net
from std_applications import APPLICATIONS, text

from netdsl.analysis import analyze
from netdsl.elaborate.names import globals_, reserved
from netdsl.elaborate.sources import std_modules, std_names, std_source
from netdsl.format import format_source
from netdsl.ir import Size
from netdsl.lower import initial_parameters
from netdsl.syntax import parse
from netdsl.syntax.comments import documentation
from netdsl.training.step import build_step

MODULES = {name: parse(std_source(name)) for name in std_modules()}
BLOCKS = {f"{name}.{block.name}": block for name, file in MODULES.items() for block in file.functions}
WANTED = {"residual", "dense_block", "inception", "separable", "squeeze_excite", "fabric", "grid", "unet", "atrous", "pyramid",
          "fcn", "attention", "fractal", "hourglass", "highway"}  # fmt: skip


# flattened vectors and products over all places need sizes that are numbers
FIXED = {"inception.inception_classifier", "attention.non_local"}


def test_the_families_are_there():
    assert set(MODULES) == WANTED
    assert all(block.kind == "block" for block in BLOCKS.values())


def test_every_block_is_applied_below():
    assert {application.block for application in APPLICATIONS} == set(BLOCKS)


def test_names_do_not_collide():
    names = [block.name for block in BLOCKS.values()]
    assert len(set(names)) == len(names)
    assert not set(names) & (reserved() | set(globals_()))
    assert {f"{module}.{name}" for name, module in std_names().items()} == set(BLOCKS)


@pytest.mark.parametrize("path", BLOCKS)
def test_every_block_is_documented(path):
    """A line that says what it is; the paper, its year and place; a picture; every hyperparameter."""
    block = BLOCKS[path]
    title, source, *rest = documentation(block).split("\n")
    assert title.endswith((".", ":")) and len(title) < 120
    paper = documentation(block) if path.startswith("unet") else source
    assert re.search(r"\b(19|20)\d\d\b", paper) and re.search(r"figure|table|section|equation", paper), source
    picture = [line for line in rest if line.startswith("    ")]
    assert any("->" in line for line in picture)
    words = set(re.findall(r"\w+", " ".join(line for line in rest if not line.startswith("    "))))
    documented = words | {"skip"}  # of residual blocks: at the head of the file
    assert {hyperparameter.name for hyperparameter in block.hyperparameters} <= documented
    assert max(map(len, documentation(block).split("\n"))) <= 125


@pytest.mark.parametrize("name", MODULES)
def test_every_file_has_a_head(name):
    lines = MODULES[name].source.text.split("\n")
    head = lines[: lines.index("")]
    assert len(head) >= 3 and all(line.startswith("#") for line in head)


@pytest.mark.parametrize("name", MODULES)
def test_every_file_is_formatted(name):
    assert format_source(MODULES[name].source) == MODULES[name].source.text


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda a: f"{a.block}-{a.inputs}")
def test_it_runs_and_trains(application):
    """Elaborated, verified and analyzed, then run on two samples; and its training step can be built."""
    elaboration = elaborated(text(application))
    net = elaboration.graph
    analyze(net)
    assert {name: shape(net, name) for name in net.outputs} == application.outputs
    generator = np.random.default_rng(1)
    feed = {
        value.name: generator.standard_normal((2, *map(int, value.shape))).astype(np.float32) for value in net.inputs
    }
    found = run_net(net, initial_parameters(net, seed=0), **feed)
    for name, y in found.items():
        assert y.shape == (2, *application.outputs[name]) and np.isfinite(y).all()
    assert build_step(net, batch=2).model.graph.node


SPATIAL = [a for a in APPLICATIONS if re.fullmatch(r"x\[\d+, \d+, \d+\]", a.inputs)]


@pytest.mark.parametrize("application", SPATIAL, ids=lambda a: f"{a.block}-{a.inputs}")
def test_sizes_stay_symbolic(application):
    """Compiled once, a net of the block runs at twice the size, and what comes out has the size that its formula says."""
    channels, height, width = map(int, re.findall(r"\d+", application.inputs))
    symbolic = application._replace(inputs=f"x[{channels}, H = {height}, W = {width}]")
    net = elaborated(text(symbolic).partition("train f")[0]).graph
    if application.block in FIXED:
        assert net.inputs[0].shape == (channels, height, width)
        return
    x = np.zeros((2, channels, 2 * height, 2 * width), np.float32)
    for name, y in run_net(net, initial_parameters(net, seed=0), x=x).items():
        at = {"H": 2 * height, "W": 2 * width}
        assert y.shape == (2, *(d.at(at) if isinstance(d, Size) else d for d in net.outputs[name].shape))
