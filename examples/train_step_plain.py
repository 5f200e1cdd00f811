"""Train LeNet-5 on the digits with onnxruntime and numpy alone: netdsl is needed only to write the model.

    netdsl compile examples/zoo/lenet5.net --set few=true --training -o step.onnx
    python examples/train_step_plain.py step.onnx netdsl/runtime/data/digits/digits.npz

docs/training-step.md says what the model's inputs and outputs are.
"""

import json
import sys

import numpy as np
import onnxruntime as ort

ort.set_default_logger_severity(3)  # that state vectors have defaults is meant so
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
batch = json.loads(session.get_modelmeta().custom_metadata_map["netdsl.training"])["batch"]
names = [output.name for output in session.get_outputs()]

digits = np.load(sys.argv[2])
images = digits["images"].repeat(3, axis=1).repeat(3, axis=2) / 16  # 24 x 24, and 4 more on each side
images = ((np.pad(images, ((0, 0), (4, 4), (4, 4))) - 0.2) / 0.3).astype(np.float32)[:, None]
labels = digits["labels"].astype(np.int64)

state, rate, random = {}, np.array(0.03, np.float32), np.random.default_rng(0)
for epoch in range(5):
    losses = []
    for rows in random.permutation(len(images))[: len(images) // batch * batch].reshape(-1, batch):
        step = np.array(epoch * (len(images) // batch) + len(losses))
        fed = {"image": images[rows], "label": labels[rows], "lr": rate, "step": step}
        results = dict(zip(names, session.run(names, fed | state)))
        state = {f"state/{name[5:]}": vector for name, vector in results.items() if name.startswith("next/")}
        losses.append(results["loss"])
    print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}")
