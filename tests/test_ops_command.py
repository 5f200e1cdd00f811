"""`netdsl ops` describes everything that a file may name, and its examples run."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from op_running import random_inputs, session

import netdsl
from netdsl.analysis import check_expectations
from netdsl.cli import main
from netdsl.diagnostics import Source
from netdsl.elaborate import elaborate, load_text
from netdsl.elaborate.names import globals_
from netdsl.ir import verify
from netdsl.lower import compile_model, initial_parameters
from netdsl.ops import OPERATORS, Rule
from netdsl.reference import entries
from netdsl.reference.text import description, items, shape_lines
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.transforms import Pipeline

ENTRIES = entries()
TRAINED = [entry for entry in ENTRIES if "train example" in entry.example]
COMPILED = [entry for entry in ENTRIES if "train example" not in entry.example]


def run(*arguments):
    return CliRunner().invoke(main, ["ops", *arguments])


def shown(entry):
    return f"{entry.name}-{entry.group.split()[0].strip(',:')}"


def entry(name):
    return next(entry for entry in ENTRIES if entry.name == name)


# every example runs


@pytest.mark.parametrize("entry", COMPILED, ids=shown)
def test_example_compiles_and_runs(entry):
    elaboration = elaborate(Source("example.net", entry.example))
    assert not elaboration.notes
    check_expectations(elaboration)
    graph = elaboration.graph
    verify(graph)
    assert entry.operator is None or entry.operator in [node.op for node in graph.nodes]
    assert entry.name in entry.example or entry.operator is not None
    running = session(compile_model(graph, initial_parameters(graph, 0)))
    known = [i.name for i in running.get_inputs()]
    feed = {v.name: random_inputs([v.shape], [v.type.dtype])[0] for v in graph.inputs if v.name in known}
    assert running.run(["y"], feed)[0].shape == (3, *graph.outputs["y"].shape)


@pytest.mark.parametrize("entry", TRAINED, ids=shown)
def test_example_trains(entry, tmp_path):
    graph = load_text(entry.example)
    verify(graph)
    assert graph.training is not None
    assert entry.operator is None or entry.operator in [node.op for node in graph.training.nodes]
    assert entry.name in entry.example
    (wanted,), (target,) = (value.shape for value in graph.inputs), graph.training.targets
    pipeline = Pipeline(graph.training.prepare)
    shape = next(
        s for s in ((1, 8, 8), (1, 4, 4), (4,)) if len(s) == len(wanted) and pipeline.output_shape(s) == wanted
    )
    (inputs,) = random_inputs([shape], batch=16)
    values = np.random.default_rng(0).integers(0, 2, (16, *target.value.shape)).astype(np.float32)
    if entry.name in ("hinge", "perceptron"):
        values = 2 * values - 1
    labels = np.arange(16) % 2 if target.value.type.dtype == "int64" else values
    samples = Samples(inputs, labels)
    history = netdsl.loads(entry.example).train(Data(samples, samples, "random", "the same"), out=tmp_path)
    assert len(history.epochs) == 2 and np.isfinite(history.epochs[-1].validation_loss)


# nothing is left out


def test_every_global_name_has_an_entry():
    names = {entry.name for entry in ENTRIES}
    words = {"true", "false", "none"}  # of the language: known for did-you-mean
    assert set(globals_()) - words <= names and set(OPERATORS) <= names
    assert all(entry.summary and all(a.doc for a in entry.arguments) for entry in ENTRIES)
    assert len({(entry.name, entry.group) for entry in ENTRIES}) == len(ENTRIES)


def test_list_has_every_entry_under_its_group():
    text = re.sub(r"\n {5,}", " ", run().stdout)  # what is wrapped in one line
    for group, listed in re.findall(r"^(\S.*):\n((?:  .*\n)+)", text, re.MULTILINE):
        lines = dict(line.strip().split("  ", 1) for line in listed.splitlines())
        assert {name: summary.strip() for name, summary in lines.items()} == {
            entry.shown: entry.summary for entry in ENTRIES if entry.group == group
        }
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == list(dict.fromkeys(entry.group for entry in ENTRIES))


@pytest.mark.parametrize("entry", ENTRIES, ids=shown)
def test_description_has_all_parts(entry):
    text = run(entry.name).stdout
    for part in (*entry.summary.split(), *(a.name for a in entry.arguments), "example:"):
        assert part in text
    assert all("  " + line in text for line in entry.example.split("\n") if line)
    assert max(map(len, text.split("\n"))) <= 120
    if entry.operator is not None:
        assert "shapes, without the batch:" in text
        assert entry.operator.cost in text or "  FLOPs  two per MAC\n" in text


def test_json_is_complete():
    listed = json.loads(run("--json").stdout)
    assert [item["name"] for item in listed] == [entry.name for entry in ENTRIES]
    (conv,) = json.loads(run("conv", "--json").stdout)
    assert conv["arguments"][0] == {
        "name": "channels", "required": True, "takes": "a whole number of at least 1", "doc": "output channels"
    }  # fmt: skip
    assert conv["arguments"][2]["default"] == "1"
    assert conv["parameters"] == ["weight [channels, C // groups, kernel...]", "bias [channels] where bias",
                                  "gain [channels] where weight_norm"]  # fmt: skip


# what it says


def test_conv():
    lines = [line.strip() for line in run("conv").stdout.split("\n")]
    assert '[C, H, W] -> [channels, ceil(H / stride), ceil(W / stride)]    where pad == "same"' in lines
    assert "weight [channels, C // groups, kernel, kernel]" in lines
    assert "gives [16, 16, 16] by 110,592 MACs and 225,280 FLOPs" in lines  # 16 * 16 * 16 * 27, twice that and a bias
    assert "a cell of the output sees 3 x 3 cells of the input, its neighbour those 2 further on" in lines


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("relu", "sees the cell at its place"),
        ("global_avg_pool", "sees the whole input"),
        ("zeros_like", "the input's numbers are not read"),
        ("upsample", "sees one cell of the input, its neighbour those 1/2 further on"),
        ("crop_like", "sees one cell of the input"),
        ("deconv", "sees one cell of the input, its neighbour those 1/2 further on"),
    ],
)
def test_what_an_output_sees(name, said):
    assert any(line.endswith(said) for line in description(entry(name)))


def test_a_sign_names_its_operator():
    assert run("+").stdout == run("add").stdout == run("a + b").stdout != ""


def test_a_name_of_several_things_shows_all():
    text = run("max").stdout
    assert "max(left, right, ..., axis = none)" in text and "max(number, ...)" in text


def test_an_unknown_name():
    result = run("acuracy")
    assert result.exit_code == 1 and "did you mean `accuracy`?" in result.stderr


def test_a_block_of_the_library_is_shown_by_another_command():
    assert "`netdsl std bottleneck` describes it" in run("bottleneck").stderr


def test_a_long_rule_is_broken_behind_its_sizes():
    rule = Rule(f"[C, n...] -> [C, min(n, {' + '.join(['kernel'] * 6)})...]", "ceil")
    assert [line.strip() for line in shape_lines(rule)] == [
        "[C, H, W] -> [C,",
        "min(H, kernel + kernel + kernel + kernel + kernel + kernel),",
        "min(W, kernel + kernel + kernel + kernel + kernel + kernel)]",
        "where ceil",
    ]
    assert items("[C, min(a, (b + c) * d), ...]") == ["C", "min(a, (b + c) * d)", "..."]
