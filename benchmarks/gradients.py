"""The gradients of every node case of onnx's backend test suite, against central differences in float64.

    python benchmarks/gradients.py --out benchmarks/results/gradients.json [--only conv einsum ...]

For each case the gradient of a random weighted sum of its outputs, with respect to every float input, is compared along
random directions in onnx's reference evaluator, and in float32 in ONNX Runtime with the former: `tests/backend_cases.py`.
Exit status 1 where a gradient is wrong.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from backend_cases import cases, modules, outcome

from benchmarks.machine import machine
from benchmarks.record import write

#: verdicts of cases in which no output depends on a float input, and of those that the evaluator does not run
_ONLY_COUNTED = ("constant", "not run")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="The JSON file to write.")
    parser.add_argument("--only", nargs="+", help="Modules of the suite.")
    arguments = parser.parse_args()
    found = []
    for module in arguments.only or modules():
        outcomes = [outcome(case) for case in cases(module)]
        found += outcomes
        verdicts = Counter(o.verdict for o in outcomes if o.verdict != "constant")
        if verdicts:
            print(f"{module}: {', '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}", flush=True)
    wrong = [o for o in found if o.verdict == "WRONG"]
    print(dict(Counter(o.verdict for o in found)))
    for o in wrong:
        print(f"WRONG: {o.name}, a relative error of {o.error:.2g}")
    if arguments.out:
        result = {"command": "python benchmarks/gradients.py", "machine": machine("onnx", "onnxruntime", "numpy"),
                  "verdicts": dict(Counter(o.verdict for o in found)),
                  "columns of checked": ["cases", "error", "run in float32", "error in float32"],
                  "operators": by_operator(found)}  # fmt: skip
        write(arguments.out, result)
    return 1 if wrong else 0


def by_operator(found):
    """Of each operator, for each verdict: how many cases have it, the largest errors, which are not finite."""
    told = {}
    groups = {}
    for o in found:
        if o.verdict not in _ONLY_COUNTED:
            groups.setdefault((o.operator, ": ".join(filter(None, [o.verdict, o.reason]))), []).append(o)
    for (operator, verdict), those in groups.items():
        if verdict.startswith("checked"):
            said = largest(those)
        else:
            said = len(those) if verdict.startswith("refused") else [o.name.removeprefix("test_") for o in those]
        told.setdefault(operator, {})[verdict] = said
    return told


def largest(those):
    """How many cases, the largest error, and of how many that ONNX Runtime ran the largest in float32."""
    run = [o.float32 for o in those if isinstance(o.float32, float)]
    error, float32 = max(o.error for o in those), max(run, default=0.0)
    return [len(those), float(f"{error:.1e}"), len(run), float(f"{float32:.1e}")]


if __name__ == "__main__":
    sys.exit(main())
