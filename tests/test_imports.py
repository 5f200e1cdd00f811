"""What a command loads: `check` and `analyze` are quick because they import click only."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {"numpy", "onnx", "onnxruntime", "rich", "PIL", "safetensors", "torch", "google", "networkx", "scipy"}


def loaded_by(code):
    """The packages that a fresh interpreter has loaded after the code."""
    script = code + "\nimport sys; print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    return set(ran.stdout.splitlines()[-1].split())


def command(*arguments):
    return f"from netdsl.cli import main; main({list(arguments)!r}, standalone_mode=False)"


@pytest.mark.parametrize(
    "code",
    [
        "import netdsl",
        "import netdsl; net = netdsl.load('examples/unet.net'); str(net.analyze()); net.analyze().to_dict()",
        command("check", "examples/resnet.net"),
        command("analyze", "examples/zoo/lenet5.net"),
        command("analyze", "examples/resnet.net", "--json", "--batch", "64"),
        command("ops", "conv"),
        command("fmt", "--diff", "examples"),
    ],
)
def test_what_needs_no_arrays_loads_none(code):
    loaded = loaded_by(code)
    assert not loaded & HEAVY
    bare = loaded_by("")
    third_party = {name for name in loaded - bare if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert third_party <= {"netdsl", "click"}


def test_folders_import_in_the_direction_of_the_architecture():
    """syntax, diagnostics <- ir, ops <- elaborate <- analysis, passes, lower <- training <- runtime <- cli."""
    allowed = {
        "diagnostics": set(),
        "syntax": {"diagnostics"},
        "format": {"diagnostics", "syntax"},
        "ir": {"diagnostics", "ops"},
        "ops": {"diagnostics", "ir"},
        "elaborate": {"diagnostics", "syntax", "ir", "ops"},
        "autodiff": set(),
    }
    for folder, others in allowed.items():
        for path in (ROOT / "netdsl" / folder).rglob("*.py"):
            for line in path.read_text(encoding="utf-8").splitlines():
                words = line.split()
                if len(words) > 1 and words[0] in ("from", "import") and words[1].startswith("netdsl"):
                    imported = words[1].split(".")[1:2]
                    assert not imported or imported[0] in others | {folder, "record", "version"}, f"{path}: {line}"
