"""Fuzz parser, elaborator, lints, analysis and formatter: no traceback, no hang, bounded memory.

    pip install atheris hypothesis
    python benchmarks/fuzz.py --minutes 10 --seed 0 --out benchmarks/results/fuzz.json

Engines take turns, each in a process of its own with bounded memory and, for each input, bounded time: see
`benchmarks/fuzz_worker.py`; what must hold is in `tests/fuzz_checks.py`. What is found is made short and written to
`tests/fuzz_seeds/`, which `tests/test_fuzz.py` replays. Where atheris is not installed, the same mutations run without
its coverage.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.fuzz_worker import HANGS, MEMORY, SECONDS
from benchmarks.machine import installed, machine
from benchmarks.record import compact, write

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / "tests" / "fuzz_seeds"
#: rounds of the engines, and the part of a round that the one by coverage has
ROUNDS, BY_COVERAGE = 2, 2 / 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Write what was done as JSON.")
    arguments = parser.parse_args()
    if installed("atheris") is None:
        print("atheris is not installed (pip install atheris): mutations without coverage in its place")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), arguments.seed)
        run.fuzz(60 * arguments.minutes)
        found = run.findings()
        result = {"date": date.today().isoformat(), "commit": commit(), "seed": arguments.seed, **run.result(),
                  "findings": len(found), "bounds": {"seconds_per_input": SECONDS, "address_space_bytes": MEMORY},
                  "machine": machine("atheris", "hypothesis", "lark", "onnx"),
                  "command": f"python benchmarks/fuzz.py --minutes {arguments.minutes:g} --seed {arguments.seed}"}  # fmt: skip
    print(compact(result))
    if arguments.out is not None:
        write(arguments.out, result)
    raise SystemExit(1 if found else 0)


def commit():
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


class Run:
    """The turns of all engines, in one folder."""

    def __init__(self, folder, seed):
        self.folder, self.seed = folder, seed
        self.engines = {}
        self.stages = Counter()
        self.slowest, self.peak, self.edges = 0.0, 0, 0

    def fuzz(self, seconds):
        by_coverage = "mutations" if installed("atheris") is None else "atheris"
        for _ in range(ROUNDS):
            self.turn(by_coverage, seconds / ROUNDS * BY_COVERAGE)
            self.turn("hypothesis", seconds / ROUNDS * (1 - BY_COVERAGE))

    def turn(self, engine, seconds):
        """Run an engine; where its process ends early, what it ran is a finding, and another one goes on."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 1:
            if self.process(engine, left):
                return

    def process(self, engine, seconds):
        """Whether the process of an engine came to its end."""
        self.seed += 1
        print(f"{engine}, {seconds:.0f} s, seed {self.seed}", flush=True)
        command = [sys.executable, "benchmarks/fuzz_worker.py", engine, str(self.folder), "--seconds", str(seconds)]
        log = self.folder / "log"
        with log.open("wb") as file:
            try:
                code = subprocess.run([*command, "--seed", str(self.seed)], cwd=ROOT, stdout=file, stderr=file,
                                      timeout=seconds + 3 * HANGS, check=False).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                code = -1
        said = log.read_text(errors="replace")
        self._count(engine, said)
        if code != 0:
            self._keep_crash(said)
        return code == 0

    def _count(self, engine, said):
        progress = self.folder / "progress.json"
        if not progress.exists():
            raise SystemExit(f"{engine} did not start:\n{said[-3000:]}")
        done = json.loads(progress.read_text())
        progress.unlink()
        self.engines.setdefault(engine, Counter()).update(executions=done["executions"], seconds=round(done["seconds"]))
        self.stages.update(done["stages"])
        self.slowest, self.peak = max(self.slowest, done["slowest_seconds"]), max(self.peak, done["peak_kilobytes"])
        self.edges = max([self.edges, *map(int, re.findall(r"\bcov: (\d+)", said))])

    def _keep_crash(self, said):
        data = (self.folder / "current.net").read_bytes()
        path = self.folder / "found" / f"crash-{sha256(data).hexdigest()[:8]}.net"
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(said[-20_000:])

    def findings(self):
        """What was found, made short, shown, and kept with the tests."""
        found = self.folder / "found"
        if any(found.iterdir()):
            self.process("minimise", 20)
            self.engines.pop("minimise")
        for path in sorted(found.glob("*.txt")):
            print(f"\n{path.stem}\n{path.read_text()[-3000:]}")
        paths = sorted(found.glob("*.net"))
        for path in paths:
            shutil.copy(path, SEEDS)
        return paths

    def result(self):
        executions = sum(engine["executions"] for engine in self.engines.values())
        seconds = sum(engine["seconds"] for engine in self.engines.values())
        return {"seconds": seconds, "executions": executions, "inputs_per_second": round(executions / seconds, 1),
                "engines": self.engines, "coverage_edges": self.edges or None, "stages": self.stages,
                "slowest_input_seconds": round(self.slowest, 3), "peak_megabytes": self.peak // 1024}  # fmt: skip


if __name__ == "__main__":
    main()
