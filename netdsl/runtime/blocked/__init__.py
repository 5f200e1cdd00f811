"""A training step in ONNX Runtime's blocked layout, in which its CPU kernels are the fastest.

ONNX Runtime moves convolutions with constant weights to its internal domain `com.microsoft.nchwc`; in a training step no
weights are constant, and it leaves them alone. `layout` writes the step anew with images in blocks from the first
convolution to the last, forward and backward:

    graph          the step that is written: which tensors are plain, which blocked, and what waits to be fused
    rules          what each operator becomes: elementwise, sums, normalization, pooling, channels
    convolution    convolutions, and transposed ones as convolutions
    correlation    the gradient of a convolution's weight, as a convolution
    gradients      gradients that are written anew as a whole
    layout         the pass over the nodes
    probe          the block size here
    agreement      the numeric comparison with the portable form, which decides

The portable step stays what `compile --training` writes.
"""

from __future__ import annotations

import onnx

from netdsl.runtime.session import Device
from netdsl.runtime.work import Shapes

from .agreement import agree
from .layout import in_blocks
from .probe import block_size


def tuned(model: onnx.ModelProto, shapes: Shapes, device: Device) -> onnx.ModelProto:
    """The step in blocks, where this machine has them and that computes the same; else the step as it is."""
    block = block_size()
    if block is None:
        return model
    try:
        written = in_blocks(model, shapes, block)
        return written if written is not model and agree(model, written, shapes, device) else model
    except Exception:  # an undocumented domain and whatever a file holds: the portable form is always right
        return model
