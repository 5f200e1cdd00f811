"""What else multi-scale networks are about: what each classifier of MSDNet costs, against counts on the authors' code; and
the budget of a super network."""

from itertools import accumulate
from math import exp

import pytest
from zoo import Small, load, losses, named, prepared, records
from zoo_multi_scale import MSDNETS

from netdsl.analysis.facts import Facts


@pytest.mark.parametrize("case", MSDNETS, ids=str)
def test_figures_per_classifier(case):
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


def test_lazy_evaluation_leaves_out_what_later_classifiers_read():
    """Huang et al. 2018, section 4: a classifier alone costs less than what has been computed when it is reached."""
    graph = load("msdnet").graph
    facts, record = Facts(graph), records()["msdnet_cifar10_anytime_11blk_even2_base4"]
    alone = [facts.macs_of([logits]) for logits in graph.outputs.values()]
    for one, reached in zip(alone, record["cumulative_macs_per_classifier"], strict=True):
        assert one is not None and one < reached
    assert facts.macs_of(list(graph.outputs.values())) == record["macs"]


def supernet(**hyperparameters):
    return {"L": 3, "S": 3, "C": 6, "N": 4, **hyperparameters}


def test_the_expected_cost_is_what_the_edges_are_expected_to_compute():
    """At first each edge is there with probability sigmoid(3) (the authors' code), whatever it costs."""
    free, priced = (losses(Small("budgeted_supernet", supernet(budget=0, penalty=p)), 0)[0] for p in (0, 1e-4))
    facts = Facts(load("budgeted_supernet", supernet()).graph)
    outside = sum(facts.macs_of(name) or 0 for name in ("node[0,0]", "logits"))
    assert priced - free == pytest.approx(1e-4 * (facts.macs - outside) / (1 + exp(-3)), rel=1e-4)


def test_the_budget_is_kept():
    """Gates close until what is expected to be computed is within the budget; without a penalty they stay."""
    expected = {}
    for penalty in (0, 1e-4):
        stepper, _ = prepared(Small("budgeted_supernet", supernet(budget=15_000, penalty=penalty)))
        for step in range(150):
            stepper.clear_totals()
            stepper.step(step, 0.1)
        expected[penalty] = dict(zip(("loss", *stepper.model.metrics), stepper.totals(), strict=False))["batch_mean.1"]
    assert expected[1e-4] <= 15_000 < 0.6 * expected[0], expected
