"""What must hold for whatever is given as a .net file: it is refused with diagnostics that can be shown, or understood.

Everything else that is raised here is a finding.
"""

import json
import os
import re
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from math import prod
from pathlib import Path

from netdsl.analysis import Facts, analyze, check_expectations
from netdsl.analysis.sizes import statements
from netdsl.diagnostics import NetError, Source, catalogue
from netdsl.diagnostics.as_json import to_dict
from netdsl.diagnostics.github import workflow_command
from netdsl.diagnostics.sarif import sarif
from netdsl.diagnostics.text import render
from netdsl.elaborate import Limits, elaborate_all
from netdsl.elaborate.sources import read_stream
from netdsl.format import format_source
from netdsl.ir.verify import verify
from netdsl.lint import lint
from netdsl.report import table

#: a hundredth of the usual ones: what grows faster than they count is slow all the same
LIMITS = Limits(nodes=1_000, steps=30_000, blocks=50, files=20)
#: numbers in the parameters and elements in the tensors of nets that are compiled
_SMALL = 100_000
#: what no user should see: Python's and the parser's names of things
_INTERNAL = re.compile(
    r"object at 0x|Traceback|<class|<function|netdsl\.|_NEWLINE|\b[LR](PAR|SQB|BRACE)\b|\$END|Token\(|NoneType"
)



def check(data, thorough=False):
    """Do all that `check`, `analyze` and `fmt` do; how far the text came.

    `thorough`: import it, too, for which it is written to the current folder, and compile small nets.
    """
    try:
        source = read_stream(BytesIO(data), "main.net")
    except NetError as error:
        check_diagnostics(error.diagnostics)
        return "refused"
    check_formatting(source)
    if thorough:
        check_imported(source.text)
    elaborations = check_elaborated(source)
    if elaborations is None:
        return "refused"
    small = [e.graph for e in elaborations if thorough and is_small(e.graph)]
    for graph in small:
        check_compiled(graph)
    return "compiled" if small else "checked" if elaborations else "no net"


def check_elaborated(source):
    """The nets of a source, or None where it was refused."""
    try:
        elaborations = elaborate_all(source, limits=LIMITS)
    except NetError as error:
        check_diagnostics(error.diagnostics)
        return None
    for elaboration in elaborations:
        check_net(elaboration)
    if elaborations:
        check_diagnostics(lint(*elaborations))
    return elaborations


def check_imported(text):
    """Blocks of the text, applied by another file."""
    blocks = re.findall(r"^block[ \t]+([A-Za-z_]\w*)", text, re.MULTILINE | re.ASCII)[:3]
    Path("imported.net").write_bytes(text.encode())
    applied = "".join(f"    y = y -> {block}\n" for block in blocks)
    names = ", ".join(blocks) or "nothing"
    body = f"net f : x[3, H = 8, W = 8] -> y {{\n    y = x\n{applied}}}\n"
    check_elaborated(Source("importing.net", f'from "imported.net" import {names}\n{body}'))


def check_formatting(source):
    """The formatted text parses to the same tree, which format_source sees to, and formatting it changes nothing."""
    try:
        text = format_source(source)
    except NetError as error:
        check_diagnostics(error.diagnostics)
        assert error.diagnostics[0].code != "E0112", "formatting changed the meaning, or lost a comment"
        return
    again = format_source(Source(source.path, text))
    assert again == text, f"formatted twice, the text differs:\n{text}\n---- again\n{again}"


def check_net(elaboration):
    verify(elaboration.graph)
    facts = Facts(elaboration.graph)
    with reported():
        check_expectations(elaboration, facts)
    report = analyze(elaboration.graph, facts)
    json.dumps(report.to_dict(), allow_nan=False)
    table(report)
    assert all(statements(elaboration.graph))


def check_diagnostics(diagnostics):
    """Each has a page, places within its files, words for the user, and can be shown in every way."""
    for diagnostic in diagnostics:
        assert diagnostic.code in _codes(), f"{diagnostic.code} has no page"
        for label in diagnostic.labels:
            assert 0 <= label.span.start <= label.span.end <= len(label.span.source.text), (
                f"{label} is outside its file"
            )
        shown = render(diagnostic)
        said = "\n".join(
            (diagnostic.message, *diagnostic.notes, *diagnostic.helps, *(label.text for label in diagnostic.labels))
        )
        internal = _INTERNAL.search(said)
        assert not internal or internal[0] in _sources(diagnostic), f"not in the user's words: {shown}"
        assert len(shown) < 50_000, f"a message of {len(shown):,} characters: {shown[:1000]}"
        render(diagnostic, colour=True, width=40)
        json.dumps(to_dict(diagnostic), allow_nan=False)
        assert "\n" not in workflow_command(diagnostic)
    json.dumps(sarif(diagnostics), allow_nan=False)


@cache
def _codes():
    return frozenset(catalogue.codes())


def _sources(diagnostic):
    """What the user wrote may be said again."""
    return "\n".join(label.span.source.text for label in diagnostic.labels)


def is_small(graph):
    tensors = [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]
    elements = sum(prod(map(int, value.shape)) for value in tensors)
    return sum(p.count for p in graph.parameters()) + elements < _SMALL


def check_compiled(graph):
    """The ONNX model is valid, with the shapes that onnx infers, and so are the training step and what passes make."""
    import onnx

    from netdsl.lower import compile_model, initial_parameters
    from netdsl.passes import convert
    from netdsl.training.step import build_step

    with reported():
        parameters = initial_parameters(graph, seed=0)
        onnx.checker.check_model(compile_model(graph, parameters), full_check=True)
    for how in conversions(graph):
        with reported():
            converted = convert(graph, parameters, **how)
            verify(converted.graph)
            onnx.checker.check_model(compile_model(converted.graph, converted.parameters), full_check=True)
    if graph.training is not None:
        with reported():
            onnx.checker.check_model(build_step(graph, batch=2).model, full_check=True)


def conversions(graph):
    """Arguments of `convert`: each pass alone, and some together."""
    from netdsl.passes.atrous import is_window

    yield {"folded": True}
    yield {"threshold": 0.5}
    yield {"convolutional": True, "folded": True}
    if graph.nodes:
        yield {"chopped": [graph.nodes[len(graph.nodes) // 2].name]}
    if strided := [node.name for node in graph.nodes if is_window(node) and max(node.args.stride) > 1]:
        yield {"convolutional": True, "strides": {strided[-1]: 1}}


@contextmanager
def reported():
    """Errors of netdsl's own are fine where they can be shown."""
    try:
        yield
    except NetError as error:
        check_diagnostics(error.diagnostics)


def lay_out(folder):
    """The files that fuzzed imports find in the current folder: good and bad ones, and what is no file."""
    (folder / "folder").mkdir()
    (folder / "folder.net").mkdir()
    block = "block b(n = 2) : x -> y { y = x -> n * relu }\nblock _private : x -> y { y = x }\nA = 3\n"
    (folder / "blocks.net").write_text(block)
    (folder / "folder" / "inner.net").write_text(
        'from "../blocks.net" import b as inner_b\nblock inner : x -> y { y = x -> inner_b }\n'
    )
    (folder / "main.net").write_text('from "circle.net" import b\n' + block.replace("block b", "block c"))
    (folder / "circle.net").write_text('from "main.net" import c\n' + block)
    (folder / "wrong.net").write_text("block b : x -> y { y = x -> }\nblock c : x -> y { y = x -> undefined }\n")
    (folder / "binary.net").write_bytes(bytes(range(256)) * 50)
    (folder / "loop.net").symlink_to("loop.net")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.net")
