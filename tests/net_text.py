"""Nets given as text: their graphs, verified and analyzed, and their diagnostics."""

from netdsl.analysis import analyze, check_expectations
from netdsl.diagnostics import Source, SourceError
from netdsl.elaborate import elaborate
from netdsl.ir.verify import verify


def elaborated(text, net=None, **hyperparameters):
    """The elaboration, its graph verified and its expectations met."""
    elaboration = elaborate(Source("test.net", text), net, hyperparameters)
    verify(elaboration.graph)
    check_expectations(elaboration)
    return elaboration


def graph(text, net=None, **hyperparameters):
    """The graph, verified; that it can be analyzed is checked too."""
    found = elaborated(text, net, **hyperparameters).graph
    analyze(found)
    return found


def body(statements, signature=": x[3, 16, 16] -> y", before=""):
    """A net with these statements in its body."""
    return f"{before}\nnet f {signature} {{\n{statements}\n}}\n"


def ops(found):
    return [node.op.name for node in found.nodes]


def names(found):
    return [node.name for node in found.nodes]


def params(found):
    return sum(p.count for p in found.parameters() if not p.buffer)


def shape(found, output="y"):
    return tuple(int(dim) for dim in found.outputs[output].shape)


def errors(text, net=None, **hyperparameters):
    """The diagnostics of a text that is wrong."""
    try:
        elaborated(text, net, **hyperparameters)
    except SourceError as error:
        assert error.diagnostics, "an error without a diagnostic"
        return error.diagnostics
    raise AssertionError("the text was accepted")


def error(text, net=None, **hyperparameters):
    """The only diagnostic of a text that is wrong."""
    found = errors(text, net, **hyperparameters)
    assert len(found) == 1, [diagnostic.message for diagnostic in found]
    return found[0]


def at(diagnostic):
    """The text that the diagnostic underlines first."""
    return diagnostic.labels[0].span.text
