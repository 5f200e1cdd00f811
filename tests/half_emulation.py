"""Mixed precision without kernels for it: every half tensor as a float32 one that was rounded to the half type."""

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from netdsl.training.mixed import HALVES

_HALVES = frozenset(HALVES.values())


def emulated(model):
    """The model with half tensors made float32, and what makes them rounded; ONNX Runtime has the Casts on the CPU."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for tensor in result.graph.initializer:
        if tensor.data_type in _HALVES:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    nodes = []
    for source in model.graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(source)
        nodes.append(node)
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i in _HALVES:
                attribute.i = TensorProto.FLOAT
        for index, name in enumerate(node.output):
            half = types.get(name)
            if half in _HALVES:
                node.output[index] = f"{name}/wide"
                nodes.append(helper.make_node("Cast", [f"{name}/wide"], [f"{name}/rounded"], to=half))
                nodes.append(helper.make_node("Cast", [f"{name}/rounded"], [name], to=TensorProto.FLOAT))
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def emulating(model):
    """A session for `emulated`, with no optimiser that could take two Casts for none."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(emulated(model).SerializeToString(), options, providers=["CPUExecutionProvider"])
