"""Whether this machine's ONNX Runtime has the blocked layout, and how large its blocks are."""

from __future__ import annotations

from functools import cache

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper

from .graph import DOMAIN


@cache
def block_size() -> int | None:
    """Channels of a block: 16 with AVX-512, 8 with AVX2 or NEON; None where there is no blocked layout.

    The domain is not documented, so it is asked. Whether its convolutions compute the right numbers is for `agree` to say.
    """
    try:
        return _asked()
    except Exception:  # ONNX Runtime's exceptions share no base class; whatever it is, the portable form works
        return None


def _asked() -> int | None:
    """Channel c holds 2c and 2c + 1: blocked, the 1 comes after as many channels as a block has."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 32, 1, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    node = helper.make_node("ReorderInput", ["x"], ["y"], domain=DOMAIN)
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(helper.make_graph([node], "probe", [x], [y]), opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (moved,) = session.run(None, {"x": np.arange(64, dtype=np.float32).reshape(1, 32, 1, 2)})
    block = int(np.flatnonzero(moved.reshape(-1) == 1)[0])
    return block if block in (8, 16) else None
