"""What other frameworks call what this language has: for did-you-mean."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netdsl.diagnostics import did_you_mean

#: names as `_plain` has them, and the operator that is meant
_NAMES = {
    "acc": "accuracy", "averagepooling": "avg_pool", "batchnorm": "bn", "batchnormalization": "bn",
    "bceloss": "binary_cross_entropy", "bcewithlogitsloss": "binary_cross_entropy", "cat": "concat", "chunk": "split",
    "concatenate": "concat", "convolution": "conv", "convtranspose": "deconv", "crossentropyloss": "cross_entropy",
    "fc": "dense", "fullyconnected": "dense", "globalaveragepooling": "global_avg_pool",
    "globalmaxpooling": "global_max_pool", "groupnormalization": "group_norm", "indexselect": "gather",
    "instancenormalization": "instance_norm", "interpolate": "upsample", "l1loss": "mean_absolute_error",
    "layernormalization": "layer_norm", "linear": "dense", "localresponsenorm": "lrn",
    "localresponsenormalization": "lrn", "mae": "mean_absolute_error", "maxpooling": "max_pool", "maxunpool": "unpool",
    "maxunpooling": "unpool", "mse": "mean_squared_error", "mseloss": "mean_squared_error",
    "multimarginloss": "multiclass_hinge", "narrow": "slice", "nllloss": "cross_entropy", "normalize": "l2_norm",
    "parameter": "param", "permute": "transpose", "smoothl1loss": "smooth_l1", "transposedconv": "deconv",
    "upsampling": "upsample", "view": "reshape", "zeropadding": "pad",
}  # fmt: skip

#: arguments of layers and optimizers; what has no counterpart is empty
_ARGUMENTS = {
    "dilationrate": "dilation", "dim": "axis", "filters": "channels", "inchannels": "", "infeatures": "",
    "kernelsize": "kernel", "learningrate": "lr", "negativeslope": "slope", "outchannels": "channels",
    "outfeatures": "units", "outputpadding": "output_pad", "p": "rate", "padding": "pad", "poolsize": "kernel",
    "scalefactor": "factor", "usebias": "bias",
}  # fmt: skip

#: attributes and methods of tensors, with the way out
_ATTRIBUTES = {
    "dim": "x.rank", "ndim": "x.rank", "permute": "transpose(x)", "reshape": "reshape(x, [...])", "size": "x.shape",
    "transpose": "transpose(x)", "view": "reshape(x, [...])",
}  # fmt: skip

#: what stands before the dot
PACKAGES = frozenset(["F", "K", "keras", "layers", "nn", "np", "numpy", "optim", "tf", "torch"])


def _plain(word: str) -> str:
    """A name without what tells frameworks apart: capitals, underscores, the number of dimensions."""
    return re.sub(r"[123]d|_", "", word.lower())


def meant_name(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Did-you-mean for a name, as `Diagnostic.helps` takes it."""
    names = list(known)
    same = [name for name in names if _plain(name) == _plain(word)]
    meant = _NAMES.get(_plain(word))
    if same:
        return (f"did you mean `{same[0]}`?",)
    return (f"it is called `{meant}` here",) if meant in names else did_you_mean(word, names)


def meant_argument(word: str, known: Iterable[str]) -> tuple[str, ...]:
    """Did-you-mean for an argument, as `Diagnostic.helps` takes it."""
    names = list(known)
    meant = _ARGUMENTS.get(_plain(word))
    if meant == "":
        return ("leave it out: a layer takes as many channels as it is given",)
    return (f"it is called `{meant}` here",) if meant in names else did_you_mean(word, names)


def meant_attribute(word: str, tensor: str, known: Iterable[str], layers: Iterable[str]) -> tuple[str, ...]:
    """Did-you-mean for an attribute of a tensor, as `Diagnostic.helps` takes it. A method may be one of the layers."""
    way_out = _ATTRIBUTES.get(word)
    if way_out is not None:
        return (f"write `{way_out.replace('x', tensor, 1)}`",)
    return (f"write `{tensor} -> {word}`",) if word in layers else did_you_mean(word, known)
