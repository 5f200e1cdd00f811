"""The table, the JSON and the HTML of a report."""

import json
import subprocess
import sys

import pytest

from netdsl import load, loads
from netdsl.report import CONVENTIONS, table
from netdsl.report.fold import SCREEN, rows
from netdsl.report.table import human

SMALL = """
block unit(width) : x -> y { y = x -> conv(width, 3) -> bn -> relu }
net small(width = 4) : image[3, H = 8, W = 8] -> y {
    y = image -> unit(width) -> unit(width) -> unit(width) -> global_avg_pool -> dense(10)
}"""


def report(text=SMALL, **hyperparameters):
    return loads(text, **hyperparameters).analyze()


def grid(text):
    """The lines of the table proper."""
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    return lines[start + 1 : lines.index("", start)]


def test_the_json_has_the_documented_keys():
    found = json.loads(json.dumps(report().to_dict()))
    assert list(found) == ["net", "file", "hyperparameters", "inputs", "outputs", "totals", "layers", "constraints"]
    assert (found["net"], found["hyperparameters"]) == ("small", {"width": 4})
    assert found["inputs"] == [
        {"name": "image", "shape": [3, 8, 8], "dtype": "float32", "symbolic_shape": [3, "H", "W"]}
    ]
    assert found["outputs"] == [{"name": "y", "shape": [10], "dtype": "float32"}]
    assert set(found["totals"]) >= {
        "params", "trainable_params", "macs", "flops", "activation_bytes", "peak_memory_bytes", "depth"
    }  # fmt: skip
    assert found["layers"][0] == {
        "name": "y.unit/y.conv", "op": "conv", "block": "y.unit", "shape": [4, 8, 8], "params": 112, "macs": 6912,
        "flops": 2 * 6912 + 256, "line": 2,
        "receptive_field": {"size": [3, 3], "stride": [1, 1], "start": [-1, -1], "aligned": True},
        "symbolic_shape": [4, "H", "W"],
    }  # fmt: skip
    assert all(type(x) is int for x in found["layers"][0]["receptive_field"]["stride"])


def test_an_application_with_several_inputs_lists_them():
    layers = report("net n : a[1, 4, 4], b[1, 4, 4] -> y { y = a + b }").to_dict()["layers"]
    assert [tensor["name"] for tensor in layers[0]["inputs"]] == ["a", "b"]
    assert "outputs" not in layers[0]


def test_layers_as_hyperparameters_are_json():
    found = report("net n(unit = relu, sizes = [1, 2]) : x[1, 4, 4] -> y { y = x -> unit }").to_dict()
    assert isinstance(found["hyperparameters"]["unit"], str)
    json.dumps(found)


def test_blocks_fold_and_repetitions_count():
    lines = grid(table(report(), depth=0))
    assert [line.split("  ")[0] for line in lines] == ["y.unit", "y.unit.1 x 2", "y.global_avg_pool", "y.dense"]
    assert lines[1].split("  ")[0:1] == ["y.unit.1 x 2"]
    assert lines[1].split()[-1] == "7"  # three 3x3 convolutions in


def test_folded_rows_add_up():
    found = report()
    for depth in (None, 0, 1):
        folded = rows(found.layers, depth)
        assert sum(row.params for row in folded) == found.totals.params
        assert sum(row.macs for row in folded) == found.totals.macs
        assert sum(row.flops for row in folded) == found.totals.flops


def test_a_greater_depth_opens_the_blocks():
    names = [line.split()[0] for line in grid(table(report(), depth=1))]
    assert names[:3] == ["y.unit/y.conv", "y.unit/y.bn", "y.unit/y.relu"]


def test_resnet152_fits_a_screen():
    text = str(load("examples/zoo/resnet.net", depth=152).analyze())
    assert len(grid(text)) < 20
    assert "x[2,1].bottleneck x 35" in text
    assert "60,192,808 (60.2 M)" in text
    assert "11,513,626,624 (11.5 G)" in text


def test_a_long_flat_net_is_cut_in_the_middle_unless_asked():
    text = "net n : x[1, 8, 8] -> y {\n y = x\n for i in range(100) { y = y -> conv(1 + i % 2, 3) }\n}"
    found = report(text)
    cut = grid(table(found))
    assert len(cut) == SCREEN + 1
    assert any("40 more rows" in line for line in cut)
    assert cut[-1].startswith("y[99].conv")
    assert len(grid(table(found, depth=0))) == 100


@pytest.mark.parametrize(("width", "columns"), [
    (30, "layer params"), (40, "layer params MACs"), (60, "layer output params MACs FLOPs"),
    (72, "layer output params MACs receptive field"), (100, "layer output params MACs FLOPs receptive field"),
])  # fmt: skip
def test_every_width_is_readable(width, columns):
    found = load("examples/zoo/resnet.net", depth=152).analyze()
    lines = table(found, depth=0, width=width).split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("---"))
    assert " ".join(lines[start - 1].split()) == columns
    assert max(map(len, lines)) <= max(width, len("MACs         11,513,626,624 (11.5 G)"))
    assert max(map(len, grid("\n".join(lines)))) <= len(lines[start])


def test_long_names_keep_their_end():
    text = table(load("examples/zoo/resnet.net", depth=152).analyze(), depth=1, width=25)
    assert "...k/main.conv.1" in text


def test_colour_only_where_asked():
    assert "\x1b[1m" in table(report(), colour=True)
    assert "\x1b" not in table(report())


def test_the_conventions_stand_below_in_full_words():
    net = load("examples/small.net")
    plain, trained = (" ".join(table(found, width=80).split()) for found in (net.analyze(), net.analyze(batch=2)))
    words = {term: " ".join(text.split()) for term, text in CONVENTIONS.items()}
    assert all(text in trained for text in words.values())
    assert [term for term, text in words.items() if text not in plain] == ["training"]


def test_the_heading_is_the_signature():
    assert str(report()).startswith("small(width = 4) : image[3, H = 8, W = 8] -> y\n")
    assert str(report("net n : x[1, 4] -> y { y = x -> relu }")).startswith("n : x[1, 4] -> y\n")


def test_what_training_adds_is_told_where_it_adds_something():
    text = """net n : x[1, 4, 4] -> y { y = x -> flatten -> dense(2)\n aux = x -> flatten -> dense(2) }
    train n {
        target = class(label)
        loss = cross_entropy(AUX, label)
        optimizer = sgd(lr = 0.1)
        batch = 8
        epochs = 1
    }"""
    assert "in training" not in str(report(text.replace("AUX", "y")))
    assert "in training  34 params, 32 MACs more" in str(report(text.replace("AUX", "y + aux")))


def test_html_is_escaped():
    found = report('net n(label = "<b>&") : x[1, 4, 4] -> y { y = x -> relu }')
    assert "&lt;b&gt;&amp;" in found._repr_html_()
    assert "<b>" not in found._repr_html_()


@pytest.mark.parametrize(("count", "text"), [
    (0, "0"), (999, "999"), (1000, "1.00 k"), (9_994, "9.99 k"), (9_996, "10.0 k"), (25_557_032, "25.6 M"),
    (999_949, "999.9 k"), (999_960, "1.00 M"), (11_513_626_624, "11.5 G"),
])  # fmt: skip
def test_human_counts(count, text):
    assert human(count) == text


def test_paths_that_do_not_line_up_are_marked():
    found = report("net n : x[1, 8, 8] -> y { y = (x -> conv(1, 3)) + (x -> conv(1, 2)) }")
    assert grid(str(found))[-1].split()[-1] == "~3"


def test_analysis_imports_neither_numpy_nor_onnx_nor_rich():
    code = """
import sys
import netdsl
str(netdsl.load("examples/unet.net").analyze())
print(sorted({"numpy", "onnx", "onnxruntime", "rich", "torch", "networkx"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
