"""Which of ONNX's operators have a gradient: `python -m netdsl.autodiff.coverage` prints docs/gradients.md."""

from __future__ import annotations

from onnx import defs

from .rule import STOPS, Declaration
from .rule import rules as declared_rules

OPSET = 26  # the newest that ONNX Runtime reads

#: Operators without a rule that are differentiated through the simpler ones that ONNX defines them by.
EXPANDED = ("Attention", "CenterCropPad", "MeanVarianceNormalization", "Swish")

#: Why the other operators that compute floating-point numbers from such have none.
WITHOUT = {
    "BitCast": "the bits of a number are no function that has a derivative",
    "CumProd": "no kernel in ONNX Runtime",
    "DFT": "not emitted; signal processing",
    "DeformConv": "not emitted; no kernel in ONNX Runtime",
    "DequantizeLinear": "quantized models are for inference",
    "Det": "its gradient needs an inverse, which ONNX has no operator for",
    "DynamicQuantizeLinear": "quantized models are for inference",
    "GRU": "recurrent: unroll it into matrix products",
    "Hardmax": "constant wherever it has a derivative; what selects by it is better written with ArgMax and GatherElements",
    "If": "control flow",
    "LSTM": "recurrent: unroll it into matrix products",
    "Loop": "control flow",
    "MaxRoiPool": "not emitted; no kernel in the CUDA provider",
    "MelWeightMatrix": "not emitted; signal processing",
    "OptionalGetElement": "optionals are no tensors",
    "RNN": "recurrent: unroll it into matrix products",
    "RoiAlign": "not emitted",
    "RotaryEmbedding": "shapes inside its definition are not inferred",
    "STFT": "not emitted; signal processing",
    "Scan": "control flow",
    "TensorScatter": "a cache of attention at inference",
    "Unique": "not emitted",
}

_HEAD = """\
# Gradients

`netdsl.autodiff.gradient(model, of, with_respect_to)` adds to any ONNX model the gradients of one of its tensors, in
standard ONNX operators; `netdsl train` and `netdsl compile` build the training step with it. This page lists what has a
gradient. It is written by `python -m netdsl.autodiff.coverage`, from what stands beside each rule in
`netdsl/autodiff/rules/`.

A model may have any opset: below 18 (with pools that round up, below 22) it is converted first. Local functions are inlined.
Where an operator has no gradient, or not with these attributes, `GradientError` names every node that is in the way and
says why.

Each rule is held against finite differences in float64, against PyTorch where it has the operator, and against the node
cases of onnx's backend suite (`benchmarks/gradients.py` runs all of them). Gradients that flow through a second output of an
operator (the mean of a LayerNormalization, the running statistics of a BatchNormalization) are refused, except for Split,
SoftmaxCrossEntropyLoss and what the definition of an operator has.

## Operators with a rule

*With respect to* lists the inputs that have a gradient; all attributes are covered but those under *not covered*. At a *kink* the
function has no derivative (or jumps), and the rule gives one of several.

| operator | with respect to | not covered | kinks |
|---|---|---|---|
"""


def document() -> str:
    """The text of docs/gradients.md."""
    rows = [_row(name, declared) for name, declared in declared_rules().items()]
    expanded = ", ".join(f"`{name}`" for name in EXPANDED)
    stops = ", ".join(f"`{name}`" for name in sorted(STOPS))
    without = [f"| {name} | {reason} |" for name, reason in WITHOUT.items()]
    parts = [
        _HEAD + "\n".join(rows),
        f"## Operators differentiated through their definition\n\nONNX defines these by simpler operators: {expanded}.",
        "## Operators that nothing flows through\n\nTheir outputs count as constants, since their derivative is zero wherever "
        f"there is one, or since they are no numbers: {stops}. So do all outputs that are integers or bools.",
        "## Operators without a gradient\n\n| operator | why |\n|---|---|\n" + "\n".join(without),
    ]
    return "\n\n".join(parts) + "\n"


def _row(name: str, declared: Declaration) -> str:
    return f"| {name} | {', '.join(differentiable(name, declared))} | {declared.lacks} | {declared.kinks} |"


def differentiable(name: str, declared: Declaration) -> list[str]:
    """The inputs of an operator that may be floating-point numbers, without those that count as constants."""
    schema = defs.get_schema(name, OPSET)
    floats = [formal.name for formal in schema.inputs if "tensor(float)" in formal.types]
    return [formal for formal in floats if formal not in declared.fixed]


if __name__ == "__main__":
    print(document(), end="")
