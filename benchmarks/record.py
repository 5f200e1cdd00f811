"""The form of the results: JSON that is short and that a diff shows line by line."""

import json

_WIDTH = 120


def compact(report, indent=""):
    """JSON with lines filled up, and a line for each object that fits on one: a run, a net. Numbers have seven digits."""
    line = json.dumps(_rounded(report), ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(report, dict | list):
        return line
    inner = indent + " "
    named = report.items() if isinstance(report, dict) else ((None, x) for x in report)
    lines = []
    alone = True  # whether nothing may follow on the last line
    for name, x in named:
        part = ("" if name is None else json.dumps(name, ensure_ascii=False) + ": ") + compact(x, inner)
        own = isinstance(x, dict) or "\n" in part
        if alone or own or len(inner) + len(lines[-1]) + len(part) + 3 > _WIDTH:
            lines.append(part)
        else:
            lines[-1] += ", " + part
        alone = own
    opening, closing = "{}" if isinstance(report, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(lines) + f"\n{indent}{closing}"


def write(path, report):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(compact(report) + "\n", encoding="utf-8")


def _rounded(report):
    if isinstance(report, float):
        return float(f"{report:.7g}")
    if isinstance(report, dict):
        return {key: _rounded(x) for key, x in report.items()}
    return [_rounded(x) for x in report] if isinstance(report, list | tuple) else report
