"""A step runs in the order in which it is written, whatever ONNX Runtime's optimisers have made of it."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from onnx import helper

from benchmarks.twins import TWINS
from netdsl.runtime.order import as_written
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper, _suited
from netdsl.training.step import build_step


def _node(name, reads, writes=None):
    return helper.make_node("Sum", reads, writes or [name.lower()], name)


def test_nodes_return_to_their_places_and_new_ones_stand_before_their_readers():
    written = [_node("A", ["x"]), _node("B", ["a"]), _node("C", ["b"]), _node("D", ["a", "c"]), _node("E", ["d"])]
    # B and C were fused; D's first factor is moved by a node that depends on A alone
    optimised = [
        _node("E", ["d"]), _node("moved", ["a"]), _node("A", ["x"]), _node("fused", ["a"], ["c"]), _node("D", ["moved", "c"]),
    ]  # fmt: skip
    graph = helper.make_graph([optimised[i] for i in (2, 1, 3, 4, 0)], "g", [], [])
    assert [node.name for node in as_written(graph, written)] == ["A", "moved", "fused", "D", "E"]


@pytest.mark.parametrize("name", ["resnet20", "unet", "densenet40"])
def test_what_runs_is_in_the_order_as_written(name, tmp_path):
    model, device = (
        build_step(TWINS[name].graph("sgd(lr = 0.1, momentum = 0.9)", batch=1), batch=1),
        choose_device("cpu", 1),
    )
    stepper = Stepper(model, device, seed=0, profile=str(tmp_path / "trace"))
    stepper.step(0, 0.1)
    events = json.loads(Path(stepper.session.end_profiling()).read_text())
    ran = [event["name"].removesuffix("_kernel_time") for event in events if event["name"].endswith("_kernel_time")]
    tuned, _ = _suited(model.model, device)
    places = {node.name: place for place, node in enumerate(tuned.graph.node)}
    # ONNX Runtime runs nodes that ask for a size first
    kept = [places[node] for node in ran if node in places and tuned.graph.node[places[node]].op_type != "Shape"]
    assert len(kept) > 0.6 * len(places)
    # what waits for a node that an optimiser has put in comes later, which is seldom
    late = sum(before > after for before, after in pairwise(kept))
    assert late < 0.03 * len(kept)
