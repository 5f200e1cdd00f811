"""How a net is trained: the training step as one ONNX model, its optimizer, its learning rate over time."""
