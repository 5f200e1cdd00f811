"""Prediction: the stored pipeline, batches, probabilities, class names, and what it prints."""

import json
import tempfile

import numpy as np
import pytest

from netdsl.diagnostics import CheckpointError, DataError
from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters, write_model
from netdsl.runtime import session
from netdsl.runtime.data.dataset import Data, Samples
from netdsl.runtime.directory import LAST
from netdsl.runtime.predict import Predictor, describe_predictions
from netdsl.runtime.trainer import Trainer

TEXT = """
net small : image[1, 6, 6] -> logits, features {
    features = image -> conv(2, 3) -> relu
    logits = features -> flatten -> dense(3)
}
train small {
    target = class(label)
    loss = cross_entropy(logits, label)
    optimizer = sgd(lr = 0.01)
    batch = 4
    epochs = 1
    prepare = [scale(1 / 255)]
    augment = [flip]
}
"""


def _images(count):
    return np.random.default_rng(0).integers(0, 255, (count, 1, 6, 6), dtype=np.uint8)


def test_batches_do_not_show_and_probabilities_are_the_softmax():
    graph = load_text(TEXT)
    weights = initial_parameters(graph, 0)
    images = _images(7)
    whole = Predictor(graph, weights, device="cpu", threads=1).predict(images)
    parts = Predictor(graph, weights, device="cpu", threads=1, batch=2).predict(images)
    assert whole.outputs["logits"].shape == (7, 3) and whole.outputs["features"].shape == (7, 2, 6, 6)
    for name, array in whole.outputs.items():
        np.testing.assert_allclose(parts.outputs[name], array, rtol=1e-5, atol=1e-6)
    assert set(whole.probabilities) == {"logits"}
    powers = np.exp(whole.outputs["logits"].astype(np.float64))
    np.testing.assert_allclose(whole.probabilities["logits"], powers / powers.sum(1, keepdims=True), rtol=1e-5)
    assert np.array_equal(whole.labels(), powers.argmax(1))


def test_a_model_too_large_for_one_message_is_loaded_from_a_file_for_a_time(tmp_path, monkeypatch):
    graph, images, written = load_text(TEXT), _images(3), []
    weights = initial_parameters(graph, 0)
    at_once = Predictor(graph, weights, device="cpu").predict(images)

    def write(model, path, *, limit):
        write_model(model, path, limit=limit)
        written.extend(tmp_path.rglob("*.onnx*"))

    monkeypatch.setattr(session, "LARGEST_IN_ONE_FILE", 100)
    monkeypatch.setattr(session, "write_model", write)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    from_file = Predictor(graph, weights, device="cpu").predict(images)
    assert sorted(path.name for path in written) == ["model.onnx", "model.onnx.data"]
    assert not list(tmp_path.iterdir())
    for name, array in at_once.outputs.items():
        np.testing.assert_array_equal(from_file.outputs[name], array)


def test_a_checkpoint_brings_weights_pipeline_and_class_names(tmp_path):
    graph = load_text(TEXT)
    images, labels = _images(9), np.arange(9) % 3
    part = Samples(images, labels)
    run = Trainer(
        graph, Data(part, part, "d", "", ("red", "green", "blue")), directory=tmp_path, device="cpu", threads=1
    )
    run.run()
    found = Predictor.from_checkpoint(graph, tmp_path / LAST, device="cpu", threads=1).predict(images)
    expected = Predictor(graph, run.tensors(), device="cpu", threads=1).predict(images)
    assert np.array_equal(found.outputs["logits"], expected.outputs["logits"])
    assert found.classes == ("red", "green", "blue")
    names = {found.class_name(int(label)) for label in found.labels()}
    assert names <= {"red", "green", "blue"}
    records = json.loads(json.dumps(found.to_dict()))
    assert len(records) == 9 and records[0]["logits_class"] == found.class_name(int(found.labels()[0]))
    lines = describe_predictions(found).splitlines()
    assert (
        len(lines) == 9 and lines[0].startswith("0: logits ") and "%" in lines[0] and "features [2, 6, 6]" in lines[0]
    )


def test_maps_of_classes_are_told_by_their_shares():
    graph = load_text("""
net masks : image[1, H = 4, W = 4] -> scores { scores = image -> conv(2, 1) }
train { target = class(mask, [H, W])
        loss = cross_entropy(scores, mask)
        optimizer = sgd(lr = 1)
        batch = 1
        epochs = 1 }
""")
    weights = {"scores.conv.weight": np.array([1, -1], np.float32).reshape(2, 1, 1, 1), "scores.conv.bias": np.zeros(2, np.float32)}
    image = np.ones((1, 1, 6, 4), np.float32)
    image[0, 0, :, 0] = -1
    found = Predictor(graph, weights, device="cpu", threads=1).predict(image)
    assert describe_predictions(found) == "0: 0 on 75.0%, 1 on 25.0%"


def test_what_does_not_fit_is_told(tmp_path):
    graph = load_text(TEXT)
    weights = initial_parameters(graph, 0)
    with pytest.raises(DataError) as caught:
        Predictor(graph, weights, device="cpu", threads=1).predict(np.zeros((2, 3, 6, 6), np.uint8))
    assert caught.value.diagnostics[0].code == "E0806"
    with pytest.raises(CheckpointError):
        Predictor.from_checkpoint(graph, tmp_path / "none.safetensors", device="cpu")


def test_no_samples_give_empty_outputs():
    graph = load_text(TEXT)
    found = Predictor(graph, initial_parameters(graph, 0), device="cpu", threads=1).predict(_images(0))
    assert found.outputs["logits"].shape == (0, 3) and found.outputs["features"].shape == (0, 2, 6, 6)
    assert found.probabilities["logits"].shape == (0, 3) and found.outputs["logits"].dtype == np.float32
    assert len(found) == 0 and found.to_dict() == [] and describe_predictions(found) == ""


@pytest.mark.parametrize(
    "inputs",
    [
        [[1.0]], None, _images(2).astype(str), _images(2).astype(object), _images(1)[0], np.float32(1), np.array(1.0),
        {"image": [1]}, _images(2)[None],
    ],
)  # fmt: skip
def test_what_is_no_array_of_samples_is_told(inputs):
    graph = load_text(TEXT)
    with pytest.raises(DataError) as caught:
        Predictor(graph, initial_parameters(graph, 0), device="cpu", threads=1).predict(inputs)
    assert caught.value.diagnostics[0].code == "E0806"
