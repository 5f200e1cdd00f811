"""The figures that `expect` may ask for; `netdsl.analysis` computes them."""

from __future__ import annotations

#: what `expect` knows besides the names of the file, and an example: what is true of `image -> conv(16, 3) @first -> bn`
FACTS = {
    "params": ("weights, frozen ones included, a shared one once; params(\"name\"): of a layer or block; params(x): of "
               "what tensors need",
               'params == 480 and params("first") == 448'),
    "trainable_params": ("weights without the frozen ones", "trainable_params == 480"),
    "buffers": ("numbers that are kept and not trained: running statistics, fixed codes", "buffers == 32"),
    "macs": ("multiply-accumulates for one sample; macs(\"name\"): of a layer or block; macs(x): to compute tensors",
             "macs ~ 442k and macs(y) == macs"),
    "flops": ("floating-point operations for one sample: 2 x MACs, and what is no MAC", "flops ~ 934k"),
    "depth": ("operators that multiply and accumulate on the longest path from an input to an output", "depth == 1"),
    "activation_memory": ("bytes of the outputs of all operators for one sample", "activation_memory == 131072"),
    "peak_memory": ("the most bytes alive at once when one sample is computed", "peak_memory == 131072"),
    "receptive_field": ("cells of the input that a cell of a tensor sees: a number where the axes agree, else a list",
                        "receptive_field(y) == 3"),
}  # fmt: skip
