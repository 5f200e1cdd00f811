"""What the figures of a benchmark depend on; nothing that names the machine."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, system, and the versions of Python and of the packages (None: not installed)."""
    cpu, cpuinfo = platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu, "cores": len(os.sched_getaffinity(0)), "system": platform.system(),
        "python": platform.python_version(), "versions": {package: installed(package) for package in packages},
    }  # fmt: skip


def installed(package: str) -> str | None:
    """The package's version, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
