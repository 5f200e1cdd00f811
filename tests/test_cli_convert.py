"""`netdsl convert`: what it writes and prints."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

import netdsl
from netdsl.cli import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "convert.md").read_text(encoding="utf-8")
TEXT = """net small : image[1, 16, 16] -> logits {
    x = image -> conv(4, 3, pad = 0, bias = false) -> bn -> relu -> max_pool(2)
    logits = (x -> conv(4, 3) @a) + (x -> conv(4, 3) @b) -> flatten -> dense(5)
}
train small {
    target = class(label)
    loss = cross_entropy(logits, label)
    optimizer = sgd(0.1)
    batch = 4
    epochs = 1
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("small.net").write_text(TEXT, encoding="utf-8")


def convert(*arguments, code=0):
    result = CliRunner().invoke(main, ["convert", "small.net", *arguments])
    assert result.exit_code == code, result.output
    return result


def test_everything_at_once():
    result = convert("--fold-bn", "--atrous", "x.max_pool", "--fully-convolutional", "--prune-edges", "0.5", "-o", "out.onnx")
    words = ("pruned: ", "fully convolutional: ", "atrous: ", "batch normalisations folded: 1 of 1")
    order = [result.stdout.index(word) for word in words]
    assert order == sorted(order)
    assert "5 x 1 x 1  [5, H - 15, W - 15]" in result.stdout
    assert result.stderr.startswith("wrote out.onnx: ")
    onnx.checker.check_model(onnx.load("out.onnx"), full_check=True)
    session = ort.InferenceSession("out.onnx", providers=["CPUExecutionProvider"])
    assert session.run(None, {"image": np.zeros((2, 1, 20, 18), np.float32)})[0].shape == (2, 5, 5, 3)


def test_json():
    found = json.loads(convert("--chop", "x", "--json").stdout)
    assert found["net"] == "small" and found["remarks"] == ["chopped: `x` is the output, 5 layers are gone"]
    assert found["before"]["params"] > found["after"]["totals"]["params"]
    assert found["after"]["outputs"] == [{"name": "x", "shape": [4, 7, 7], "dtype": "float32"}]
    assert Path("small.onnx").exists()


def test_weights_in_and_out():
    convert("--seed", "3", "--chop", "logits", "--out-weights", "first.safetensors")
    convert("--weights", "first.safetensors", "--fully-convolutional", "--out-weights", "second.safetensors")
    first, second = load_file("first.safetensors"), load_file("second.safetensors")
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert second[name].shape == ((5, 4, 7, 7) if name == "logits.dense.weight" else value.shape)
        np.testing.assert_array_equal(second[name].reshape(value.shape), value)


@pytest.mark.parametrize(("arguments", "words"), [
    ([], "say what to do: --chop"), (["--prune-edges", "1.5"], "1.5"),
    (["--prune-edges", "nan"], "nan"), (["--atrous", "x.max_pool=0"], "at least 1"),
])  # fmt: skip
def test_a_wrong_command_line(arguments, words):
    assert words in convert(*arguments, code=2).stderr


def test_errors_have_a_place():
    error = convert("--atrous", "x.max_pool", code=1).stderr
    assert "error[E1101]: `--atrous` cannot convert `flatten`" in error and "small.net:3:61" in error
    assert not Path("small.onnx").exists()


def test_the_page_shows_what_is_printed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    command, shown = re.search(r"`netdsl (convert [^`]*)` prints\n\n```\n(.*?)```", PAGE, re.DOTALL).groups()
    words = command.replace("examples", str(ROOT / "examples")).split()
    assert CliRunner().invoke(main, [*words, "-o", "digit.onnx"]).stdout == shown


def test_the_page_names_the_options_in_order():
    passes = re.findall(r"^## `(--[a-z-]+)", PAGE, re.MULTILINE)
    text = " ".join(CliRunner().invoke(main, ["convert", "--help"]).stdout.split())
    assert f"in this order: {', '.join(passes)}." in text
    assert set(re.findall(r"--[a-z-]+", PAGE)) - {"--fold-bn"} <= set(re.findall(r"--[a-z-]+", text))


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    small = code.replace("classes=21", "classes=21, width=2, hidden=8").replace("examples", str(ROOT / "examples"))
    monkeypatch.chdir(tmp_path)
    netdsl.load(str(ROOT / "examples" / "zoo" / "vgg.net"), classes=21, width=2, hidden=8).save("vgg.safetensors")
    ran = [line for line in small.splitlines() if "net.train" not in line]
    known = {"netdsl": netdsl, "images": np.zeros((1, 3, 256, 256), np.uint8)}
    exec("\n".join(ran), known)
    assert "strides `pool[3].max_pool 2 to 1`" in " ".join(known["net"].remarks)
    assert Path("dense.onnx").exists() and Path("dense.safetensors").exists()
