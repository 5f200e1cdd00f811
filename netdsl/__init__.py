"""netdsl: networks described in a file, analyzed, compiled to ONNX, trained on ONNX Runtime."""
