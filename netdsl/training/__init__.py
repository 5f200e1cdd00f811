"""How a net is trained: optimizers and schedules by name, and the training step as one ONNX model.

Nothing is imported here: `signatures` and `schedules` are read by `netdsl check`, which does without onnx and numpy.
"""
