"""What the figures count, in full words: printed under every table and in `--help`."""

from __future__ import annotations

CONVENTIONS = {
    "MACs": """multiply-accumulates of convolutions, transposed convolutions (input positions x weights), dense layers
        and matrix products, without bias""",
    "FLOPs": """2 x MACs, plus one per output element for a bias, an activation and each element-wise operator, two for
        a normalisation, one per window element in pools; `netdsl ops` prints the rest""",
    "params": "all weights, frozen ones included, a shared one once; buffers are running statistics and fixed tensors",
    "activations": """the outputs of all operators; peak memory: the most alive at once in emitted order, inputs
        included, weights not""",
    "training": """with --batch, the memory of a training step on the CPU in float32: weights and the optimizer's state, two
        buffers each, the batch, and the most that weights in use, saved tensors, gradients and workspace take of ONNX
        Runtime's arena""",
    "depth": "convolutions, transposed convolutions, dense layers and matrix products on the longest path",
    "receptive field": """the input pixels that an output position can depend on: the largest over all paths and output
        phases; ~ where the centres of the paths do not coincide; `all` behind a flatten or a global pool""",
}
