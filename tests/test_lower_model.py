"""The model as a file: names, metadata, sizes, checks, and writing it whole or not at all."""

import errno
import json
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest

from netdsl.diagnostics import CheckpointError, NetError
from netdsl.elaborate import load_text
from netdsl.ir import Size, TensorType, Value
from netdsl.lower import compile_model, fit_weights, initial_parameters, lower_graph, write_model
from netdsl.lower.emit import Emitter
from netdsl.lower.sizes import Sizes
from tests.onnx_running import run_net, session

NET = """block unit(width) : x -> y {
    y = x -> conv(width, 3, bias = false) -> bn -> relu
}
net small(width = 4) : image[3, H = 16, W = 16] -> scores, features {
    features = image -> unit(width) @first -> 2 * unit(width)
    scores = features -> dropout(0.5) -> conv(2, 1) @head -> softmax
}
train small {
    target = class(label, [H, W])
    loss = cross_entropy(scores, label)
    optimizer = sgd(lr = 0.1)
    batch = 8
    epochs = 1
    prepare = [scale(1 / 255), normalize(mean = [0.5, 0.5, 0.5], std = [0.2, 0.2, 0.2])]
}
"""


@pytest.fixture(scope="module")
def graph():
    return load_text(NET, width=6)


def test_names_and_places(graph):
    model = compile_model(graph, initial_parameters(graph, 0))
    nodes = {node.name: node for node in model.graph.node}
    assert len(nodes) == len(model.graph.node)
    assert {node.name for node in graph.nodes} <= {name.partition(":")[0] for name in nodes}
    assert "first/y.conv" in nodes and "head" in nodes
    places = {p.key: p.value for p in nodes["head"].metadata_props}
    assert places == {"netdsl.source": "<text>:6:42"}
    assert nodes["head"].input[1:] == ["head.weight", "head.bias"]
    assert [o.name for o in model.graph.output] == ["scores", "features"]


def test_metadata(graph):
    model = compile_model(graph, initial_parameters(graph, 0))
    entries = {p.key: p.value for p in model.metadata_props}
    assert entries["netdsl.net"] == "small" and entries["netdsl.version"]
    assert json.loads(entries["netdsl.hyperparameters"]) == {"width": 6}
    assert [step for step, _ in json.loads(entries["netdsl.prepare"])] == ["scale", "normalize"]
    assert model.opset_import[0].version <= 26 and model.ir_version <= 13


def test_dynamic_sizes(graph):
    model = compile_model(graph, initial_parameters(graph, 0))
    s = session(model)
    assert s.get_inputs()[0].shape == ["N", 3, "H", "W"]
    for shape in ((1, 3, 16, 16), (3, 3, 9, 21)):
        scores = s.run(["scores"], {"image": np.zeros(shape, np.float32)})[0]
        assert scores.shape == (shape[0], 2, *shape[2:])


@pytest.mark.parametrize("mode", ["inference", "evaluation", "training"])
def test_static_batch(graph, mode):
    lowered = lower_graph(graph, mode, batch=5)
    assert lowered.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 5
    assert (lowered.seed is not None) == (mode == "training")
    assert (lowered.loss is not None) == (mode != "inference")
    assert len(lowered.updates) == (6 if mode == "training" else 0)
    assert [p.name for p in lowered.parameters] == [p.name for p in graph.parameters()]


def test_names_that_meet():
    text = """net x : seed[2, N = 4], x[2, N] -> x, step, loss {
        step = seed -> relu
        loss = step
        y = (x + seed -> dropout(0.5)) -> flatten -> dense(3)
        x = x
    }
    train x {
        target = class(label)
        loss = cross_entropy(y, label)
        optimizer = sgd(lr = 0.1)
        batch = 8
        epochs = 1
    }"""
    graph = load_text(text)
    values = initial_parameters(graph, 0)
    data = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    out = run_net(graph, values, seed=data, x=2 * data)
    lowered = lower_graph(graph, "training")
    assert len({lowered.seed, lowered.step, lowered.loss, *lowered.outputs.values(), *lowered.inputs.values()}) == 8
    assert len({str(i.type.tensor_type.shape.dim[0].dim_param) for i in lowered.graph.input if i.name == "x"}) == 1
    by_output = {name: out[tensor] for name, tensor in lower_graph(graph, "inference").outputs.items()}
    np.testing.assert_array_equal(by_output["x"], 2 * data)
    np.testing.assert_array_equal(by_output["step"], np.maximum(data, 0))
    np.testing.assert_array_equal(by_output["loss"], np.maximum(data, 0))


def test_sizes_at_run_time():
    """Every linear form and floor, negative numerators too, against `Size.at`."""
    h, w = Size.symbol("H", 8), Size.symbol("W", 6)
    nested = ((h + 1) // 2 * 3 + w) // 5
    sizes = [h, 2 * h + 1, (h - 3) // 2, (h + w) // 3 * 2 - 1, -(-h // 4), (w - 9) // 4 + 40, nested]
    model = onnx.ModelProto(ir_version=10)
    model.opset_import.add(domain="", version=20)
    image = Value("image", TensorType((3, h, w)))
    emitter = Emitter(model.graph, ["image", "out"])
    emitter.alias("out", Sizes(emitter, [(image, "image")], None).dims([7, *sizes, 9], batch=True))
    model.graph.name = "sizes"
    given = model.graph.input.add(name="image").type.tensor_type
    given.elem_type = 1
    for dim in "NCHW":
        given.shape.dim.add().dim_param = dim
    out = model.graph.output.add(name="out").type.tensor_type
    out.elem_type = 7
    out.shape.dim.add().dim_value = len(sizes) + 3
    s = session(model)
    for height, width in ((8, 6), (31, 5), (4, 17)):
        got = s.run(None, {"image": np.zeros((2, 3, height, width), np.float32)})[0]
        assert got.tolist() == [2, 7, *(size.at({"H": height, "W": width}) for size in sizes), 9]


def test_shared_weights_are_stored_once():
    graph = load_text("""net siamese : left[1, 12, 12], right[1, 12, 12] -> a, b {
        share tower = conv(4, 5) -> relu -> max_pool(2) -> flatten -> dense(3)
        a = left -> tower
        b = right -> tower
    }""")
    values = initial_parameters(graph, 0)
    assert len(values) == 4
    data = np.random.default_rng(0).standard_normal((2, 1, 12, 12)).astype(np.float32)
    out = run_net(graph, values, left=data, right=data[::-1].copy())
    np.testing.assert_allclose(out["a"], out["b"][::-1], atol=1e-6)


def test_write_and_read_back(graph, tmp_path):
    model = compile_model(graph, initial_parameters(graph, 0))
    path = tmp_path / "small.onnx"
    write_model(model, path)
    assert onnx.load(path) == model
    assert os.listdir(tmp_path) == ["small.onnx"]
    assert path.stat().st_mode & 0o044


def test_large_weights_go_beside(graph, tmp_path):
    model = compile_model(graph, initial_parameters(graph, 0))
    path = tmp_path / "small.onnx"
    write_model(model, path, limit=1000)
    assert sorted(os.listdir(tmp_path)) == ["small.onnx", "small.onnx.data"]
    onnx.checker.check_model(str(path), full_check=True)
    back = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    assert any(t.external_data for t in onnx.load(path, load_external_data=False).graph.initializer)
    for tensor in model.graph.initializer:
        np.testing.assert_array_equal(back[tensor.name], onnx.numpy_helper.to_array(tensor))
    import onnxruntime

    feed = {"image": np.ones((1, 3, 8, 8), np.float32)}
    beside = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, feed)
    for a, b in zip(beside, session(model).run(None, feed), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("limit", [1000, 1 << 40])
def test_a_full_disk_leaves_nothing(graph, tmp_path, monkeypatch, limit):
    path = tmp_path / "small.onnx"
    path.write_text("what was there")

    def no_space(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(NetError, match="no space left"):
        write_model(compile_model(graph, initial_parameters(graph, 0)), path, limit=limit)
    assert os.listdir(tmp_path) == ["small.onnx"] and path.read_text() == "what was there"


def test_no_such_folder(graph, tmp_path):
    with pytest.raises(NetError, match="no folder"):
        write_model(compile_model(graph, initial_parameters(graph, 0)), tmp_path / "missing" / "small.onnx")


def test_other_places(graph, tmp_path):
    """A folder is refused; a link is followed; a device is written to and stays one."""
    model = compile_model(graph, initial_parameters(graph, 0))
    with pytest.raises(NetError, match="folder"):
        write_model(model, tmp_path)
    (tmp_path / "link.onnx").symlink_to(tmp_path / "real.onnx")
    write_model(model, tmp_path / "link.onnx")
    assert (tmp_path / "link.onnx").is_symlink() and onnx.load(tmp_path / "real.onnx") == model
    write_model(model, os.devnull)
    assert not os.path.isfile(os.devnull)


def test_weights_that_do_not_fit(graph):
    values = initial_parameters(graph, 0)
    fitted = fit_weights(graph, {**values, "aux.weight": np.zeros(3)}, "run.safetensors")
    assert fitted.keys() == values.keys()
    broken = dict(values)
    broken["haed.weight"] = broken.pop("head.weight")
    broken["head.bias"] = np.zeros(5, np.float32)
    with pytest.raises(CheckpointError) as caught:
        fit_weights(graph, broken, "run.safetensors")
    missing, shape = caught.value.diagnostics
    assert "head.weight" in missing.message and "haed.weight" in missing.helps[0] and missing.path == "run.safetensors"
    assert "[2]" in shape.message and "[5]" in shape.message


def test_ten_thousand_nodes_take_about_a_second():
    graph = load_text((Path(__file__).parent.parent / "examples" / "fabric.net").read_text(), layers=250, width=2)
    start = time.process_time()
    lowered = lower_graph(graph, "inference")
    assert time.process_time() - start < 3  # 0.3 s measured; slow machines exist
    assert len(graph.nodes) <= len(lowered.graph.node) < 1.1 * len(graph.nodes)
