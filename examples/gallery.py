"""Write examples/README.md: every architecture of the zoo with its figures, drawn from `netdsl analyze`.

    python examples/gallery.py            # writes README.md beside this file
    python examples/gallery.py --check    # exits with 1 where it is not what would be written
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import netdsl
from netdsl.elaborate import read_source
from netdsl.elaborate.arguments import literal
from netdsl.report import Report
from netdsl.report.table import human
from netdsl.syntax import parse

HERE = Path(__file__).resolve().parent
ZOO = HERE / "zoo"

#: the files of each group, in the order of a course
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Neurons": ("perceptron", "logistic_regression", "mlp", "maxout"),
    "Classification": (
        "lenet5", "alexnet", "overfeat", "vgg", "googlenet", "resnet", "cifar_resnet", "preact_resnet", "densenet",
        "densenet_cifar", "mobilenet", "mobilenet_v2", "deepface",
    ),
    "Segmentation and edges": (
        "farabet_pyramid", "recurrent_scene_parser", "hypercolumns", "fcn", "deeplab", "context_module", "deconvnet", "segnet",
        "unet", "hed", "deepskeleton", "crf_as_rnn",
    ),
    "Many scales, many paths": ("frrn", "fc_densenet", "fabric", "gridnet", "msdnet", "budgeted_supernet"),
    "Several inputs or outputs": (
        "siamese_drlim", "multitask", "multi_digit", "mcdnn", "multimodal_fusion", "two_stream",
    ),
    "Images, flow, volumes, sound": ("denoising_autoencoder", "colorization", "flownet", "unet3d", "vnet", "wavenet"),
    "To be converted": ("feature_extraction", "fully_convolutional_classifier"),
}
#: hyperparameters with which a net is shown besides its defaults
VARIANTS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "vgg": ({"depth": 19},),
    "resnet": tuple({"depth": depth} for depth in (18, 34, 101, 152)),
    "cifar_resnet": tuple({"depth": depth} for depth in (32, 44, 56, 110)),
    "preact_resnet": ({"depth": 1001},),
    "densenet": tuple({"depth": depth} for depth in (169, 201)),
    "densenet_cifar": ({"depth": 190, "growth": 40}, {"depth": 250, "growth": 24}, {"bottleneck": False}),
    "fcn": ({"stride": 16}, {"stride": 32}),
    "deeplab": tuple({"kernel": kernel, "hole": hole, "units": 4096} for kernel, hole in ((7, 4), (4, 4), (4, 8))),
    "context_module": ({"large": True},),
    "frrn": ({"deep": True, "H": 512, "W": 1024},),
    "fc_densenet": ({"growth": 16, "down": [5] * 5, "middle": 5}, {"growth": 12, "down": [4] * 5, "middle": 4}),
    "fabric": (
        {"L": 16, "C": 32, "sparse": True}, {"C": 128, "colors": 3},
        {"S": 9, "up": True, "colors": 3, "K": 3, "N": 256},
    ),
    "msdnet": (
        {"steps": [1, 2, 3, 4, 5]},
        {"steps": [4] * 5, "width": 32, "growth": 16, "factors": [1, 2, 4, 4], "imagenet": True, "classes": 1000,
         "H": 224, "W": 224},
    ),
    "bsn": ({"C": 64, "S": 9, "up": True, "K": 3, "N": 256},),
    "two_stream": ({"fusion": "conv5"},),
    "wavenet": ({"padding": 0},),
}

#: authors, "title", where and when
_PAPER = re.compile(r'[^"]*"[^"]*".*?\b(19|20)\d\d\b')

INTRODUCTION = """\
# Examples

In this folder lie first files: `small.net` of the README, and a residual network, a fabric, a U-Net with "same" padding and a
siamese pair, short and without figures of a paper; `fashion_resnet.net` has the recipe whose runs on Fashion-MNIST are
recorded in `../benchmarks`. `digits/` has ten images to try `netdsl run` on, and
`train_step_plain.py` trains a compiled step with ONNX Runtime alone. The zoo holds the architectures of the field, one file
each, to be read next to the paper. Every file holds itself to the paper's figures with `expect`:
`netdsl check examples/zoo/*.net`.

This page is written by `python examples/gallery.py` from what `netdsl analyze` computes. Parameters are all weights,
MACs are multiply-accumulates for one sample at the size that the file says, depth counts layers that multiply on the
longest path; lines are those of the file without comments and blank lines. The comment of a file says more: which figure or
table of the paper it draws, and where other code departs from it.
"""


def main() -> None:
    text = page()
    target = HERE / "README.md"
    if "--check" in sys.argv[1:]:
        if text != target.read_text(encoding="utf-8"):
            raise SystemExit("examples/README.md is not up to date: run python examples/gallery.py")
    else:
        target.write_text(text, encoding="utf-8")


def page() -> str:
    listed = [name for names in GROUPS.values() for name in names]
    missing = {path.stem for path in ZOO.glob("*.net")} ^ set(listed)
    assert not missing, f"either in no group or without a file: {sorted(missing)}"
    return "\n".join([INTRODUCTION, *(_section(group, names) for group, names in GROUPS.items())])


def _section(group: str, names: tuple[str, ...]) -> str:
    lines = [f"## {group}", ""]
    for name in names:
        title, about = heading(ZOO / f"{name}.net")
        lines.append(f"- [{title}](zoo/{name}.net) ({code_lines(ZOO / f'{name}.net')} lines). {about}")
    lines += ["", "| net | input | output | parameters | MACs | depth |", "|---|---|---|---:|---:|---:|"]
    return "\n".join([*lines, *(row for name in names for row in _rows(name)), ""])


def _rows(name: str) -> Iterator[str]:
    for label, report in reports(name):
        inputs = ", ".join(_shape(tensor) for tensor in report.inputs)
        outputs = ", ".join(_shape(tensor) for tensor in report.outputs[:3])
        outputs += f", and {len(report.outputs) - 3} more" if len(report.outputs) > 3 else ""
        totals = report.totals
        yield f"| `{label}` | {inputs} | {outputs} | {totals.params:,} | {human(totals.macs)} | {totals.depth} |"


def reports(name: str) -> Iterator[tuple[str, Report]]:
    """Each net of a file at its defaults, then its variants; called `FILE:NET` where it is not called as the file."""
    path = ZOO / f"{name}.net"
    for net in [f.name for f in parse(read_source(str(path))).functions if f.kind == "net"]:
        for settings in ({}, *VARIANTS.get(net, ())):
            said = ", ".join(f"{key} = {literal(value)}" for key, value in settings.items())
            label = net if net == name else f"{name}:{net}"
            yield label + (f"({said})" if said else ""), netdsl.load(f"{path}:{net}", **settings).analyze()


def heading(path: Path) -> tuple[str, str]:
    """The first line of the file's comment, and the paper that is named next, up to its year."""
    lines = path.read_text(encoding="utf-8").split("\n")
    paragraph = []
    for line in lines:
        if not line.startswith("# "):
            break
        paragraph.append(line[2:].strip())
    paper = _PAPER.match(" ".join(paragraph[1:]))
    assert paper, f"{path.name} names no paper and its year"
    return paragraph[0].rstrip("."), paper[0] + "."


def code_lines(path: Path) -> int:
    return sum(bool(line.strip()) and not line.lstrip().startswith("#") for line in path.read_text().split("\n"))


def _shape(tensor: Any) -> str:
    return " × ".join(map(str, tensor.shape)) or "1"


if __name__ == "__main__":
    main()
