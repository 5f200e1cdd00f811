"""Running lowered graphs in tests: every model is checked in full before it runs."""


import numpy as np
import onnx
import onnxruntime as ort
from onnx import ModelProto, numpy_helper, shape_inference

from netdsl.lower import IR_VERSION, OPSET, compile_model


def session(model):
    """The model on ONNX Runtime's CPU provider, one thread; checker and strict shape inference come first."""
    onnx.checker.check_model(model, full_check=True)
    shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_net(graph, parameters, **feed):
    """The net's outputs for the inputs, by name."""
    s = session(compile_model(graph, parameters))
    names = [output.name for output in s.get_outputs()]
    return dict(zip(names, s.run(names, feed), strict=True))


def model_of(lowered, parameters):
    """A lowered graph with its parameters as initializers, the buffers' updates as further outputs."""
    model = ModelProto(ir_version=IR_VERSION)
    model.opset_import.add(domain="", version=OPSET)
    model.graph.CopyFrom(lowered.graph)
    for parameter in lowered.parameters:
        model.graph.initializer.append(numpy_helper.from_array(parameters[parameter.name], parameter.name))
    for buffer, name in lowered.updates.items():
        update = model.graph.output.add(name=name).type.tensor_type
        update.elem_type = onnx.TensorProto.FLOAT
        for size in buffer.shape:
            update.shape.dim.add().dim_value = size
    return model


def randomised(graph, parameters, seed=1):
    """The parameters with everything that starts as zeros or ones moved away from there, variances positive."""
    rng = np.random.default_rng(seed)
    values = dict(parameters)
    for parameter in graph.parameters():
        if parameter.init.kind in ("zeros", "ones"):
            noise = rng.uniform(-0.3, 0.3, parameter.shape).astype(np.float32)
            values[parameter.name] = values[parameter.name] + noise
    return values
