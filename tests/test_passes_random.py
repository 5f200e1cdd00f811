"""Passes on random nets: an error at a place, or a net that holds to what the pass says."""


import numpy as np
from fuzz_nets import NetWriter
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.diagnostics import NetError
from netdsl.elaborate import load_text
from netdsl.passes import atrous, chop, fold_bn, fully_convolutional, prune_edges
from netdsl.passes.atrous import is_window
from tests.onnx_running import run_net
from tests.passes_support import close, inputs_of, numbers_of, outputs_of


def same(graph, values, run):
    """The outputs are the same numbers, in the same order."""
    try:
        made = run()
    except NetError as error:
        (diagnostic,) = error.diagnostics
        assert diagnostic.code.startswith("E11") and diagnostic.labels and diagnostic.helps
        return None
    inputs = inputs_of(graph)
    for name, wanted in run_net(graph, values, **inputs).items():
        close(outputs_of(made, inputs)[name].reshape(wanted.shape), wanted)
    return made


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_any_net(random):
    try:
        graph = load_text(NetWriter(random).file())
    except NetError:
        return
    values = numbers_of(graph)
    same(graph, values, lambda: fold_bn(graph, values))
    same(graph, values, lambda: prune_edges(graph, values, 0))
    wide = same(graph, values, lambda: fully_convolutional(graph, values))
    if wide is not None:
        larger = {symbol: size + random.randrange(4) for symbol, size in wide.graph.symbols.items()}
        outputs_of(wide, inputs_of(wide.graph, **larger))
    node = random.choice(graph.nodes)
    chopped = chop(graph, values, [node.name])
    (found,) = outputs_of(chopped, inputs_of(chopped.graph)).values()
    assert found.shape == (*[2] * node.output.type.batched, *map(int, node.output.shape))
    pruned = prune_edges(graph, values, random.random())
    assert {name: np.shape(y) for name, y in outputs_of(pruned, inputs_of(graph)).items()} == {
        name: (2, *map(int, value.shape)) for name, value in graph.outputs.items()
    }


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_any_stride(random):
    """Any strided layer of any net, the maps before the last layers."""
    try:
        graph = load_text(NetWriter(random).file().replace("y = x -> flatten -> dense(3)", "y = x"))
    except NetError:
        return
    strided = [node for node in graph.nodes if is_window(node) and max(node.args.stride) > 1]
    if not strided or len(graph.outputs["y"].shape) == 1:
        return
    layer, values, inputs = random.choice(strided), numbers_of(graph), inputs_of(graph)
    try:
        made = atrous(graph, values, {layer.name: 1})
    except NetError as error:
        assert error.diagnostics[0].labels
        return
    found, wanted = outputs_of(made, inputs)["y"], run_net(graph, values, **inputs)["y"]
    rate = layer.args.stride if found.shape != wanted.shape else (1,) * (found.ndim - 2)
    close(found[(..., *(slice(None, None, r) for r in rate))], wanted)
