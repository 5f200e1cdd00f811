"""What the figures of a benchmark depend on; nothing that names the machine."""

import os
import platform
from importlib import metadata
from pathlib import Path

#: the distributions that ONNX Runtime comes in, of which one is installed
RUNTIMES = ("onnxruntime-gpu", "onnxruntime")


def machine(*packages):
    """Processor, cores, system, and the versions of Python and of the packages (None: not installed).

    `onnxruntime` stands for the distribution of it that is installed, and has its name.
    """
    cpu, cpuinfo = platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    runtime = next(filter(installed, RUNTIMES), "onnxruntime")
    names = [runtime if package == "onnxruntime" else package for package in packages]
    return {
        "cpu": cpu, "cores": len(os.sched_getaffinity(0)), "system": platform.system(),
        "python": platform.python_version(), "versions": {name: installed(name) for name in names},
    }  # fmt: skip


def installed(package):
    """The package's version, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
