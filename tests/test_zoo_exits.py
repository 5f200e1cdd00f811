"""What each classifier of MSDNet costs, against counts on the authors' PyTorch code."""

from __future__ import annotations

from itertools import accumulate

import pytest
from zoo import Figures, load, named, records
from zoo_multi_scale import MSDNETS

from netdsl.analysis.facts import Facts


@pytest.mark.parametrize("case", MSDNETS, ids=str)
def test_figures_per_classifier(case: Figures) -> None:
    """Cumulative, of all that has been computed when a classifier is reached; and the maps behind every block."""
    record, graph = records()[case.record], load(case.net, case.set).graph
    facts = Facts(graph)
    ends = [i for i, node in enumerate(graph.nodes) if node.output in graph.outputs.values()]
    macs = list(accumulate(facts.macs_per_node))
    params = list(accumulate(sum(p.count for p in n.parameters.values() if not p.buffer) for n in graph.nodes))
    assert [macs[end] for end in ends] == record["cumulative_macs_per_classifier"]
    assert [params[end] for end in ends] == record["cumulative_params_per_classifier"]
    scales = len(record["block_output_shapes"][0])
    for layer, shapes in zip(accumulate(case.set["steps"]), record["block_output_shapes"], strict=True):
        maps = [named(graph, f"map[{layer}, {s}]") for s in range(scales - len(shapes), scales)]
        assert [list(map(int, value.shape)) for value in maps] == [shape[1:] for shape in shapes]


def test_lazy_evaluation_leaves_out_what_later_classifiers_read() -> None:
    """Huang et al. 2018, section 4: a classifier alone costs less than what has been computed when it is reached."""
    graph = load("msdnet").graph
    facts, record = Facts(graph), records()["msdnet_cifar10_anytime_11blk_even2_base4"]
    alone = [facts.macs_of([logits]) for logits in graph.outputs.values()]
    for one, reached in zip(alone, record["cumulative_macs_per_classifier"], strict=True):
        assert one is not None and one < reached
    assert facts.macs_of(list(graph.outputs.values())) == record["macs"]
