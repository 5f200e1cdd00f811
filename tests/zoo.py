"""How a file of examples/zoo is held against published figures, and how it is run small.

Each group of the zoo has a file of cases, `zoo_classification.py` and so on, with two lists: FIGURES and SMALL.
`zoo_figures.json` has the figures: published ones, and those measured on other implementations (by their sources).
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import netdsl
from netdsl.analysis.facts import Facts
from netdsl.lower import initial_parameters
from netdsl.runtime.session import choose_device
from netdsl.runtime.stepper import Stepper
from netdsl.training.step import build_step

HERE = Path(__file__).resolve().parent
ZOO = HERE.parent / "examples" / "zoo"
NOTHING = {}

#: makes the values of one input or target: of this shape, batch included
Feed = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


class Figures(NamedTuple):
    """A net (`FILE` or `FILE:NET` with hyperparameters) and the record of `zoo_figures.json` that it has to meet.

    Parameters are compared exactly, MACs to 0.5 %. `milestones` and `fields` map the record's names of layers to ours: a
    name of the net's body, an entry of a family, or a layer of `analyze`'s table. Shapes, without the batch, and receptive
    fields are compared exactly. `apart` gives our figure where it rightly is another one
    ("params", "macs"), and why; the file has to say both.
    """

    net: str
    record: str
    set: Mapping[str, Any] = NOTHING
    milestones: Mapping[str, str] = NOTHING
    fields: Mapping[str, str] = NOTHING
    apart: Mapping[str, tuple[int, str]] = NOTHING

    def __str__(self):
        return f"{shown(self.net, self.set)}~{self.record}"


class Small(NamedTuple):
    """A net with hyperparameters and sizes that make it small, for running it.

    `rate` replaces the file's learning rate where that one is not for so small a net. `feeds` makes inputs and targets
    that are neither normally distributed numbers nor classes.
    """

    net: str
    set: Mapping[str, Any] = NOTHING
    batch: int = 2
    rate: float | None = None
    feeds: Mapping[str, Feed] = NOTHING

    def __str__(self):
        return shown(self.net, self.set)


def shown(net, hyperparameters):
    return f"{net}({','.join(f'{name}={value}' for name, value in hyperparameters.items())})"


def load(net, hyperparameters=NOTHING):
    file, colon, name = net.partition(":")
    return netdsl.load(f"{ZOO / file}.net{colon}{name}", **hyperparameters)


# figures


@cache
def records():
    sources = json.loads((HERE / "zoo_figures.json").read_text())
    return {record["name"]: record for records in sources.values() for record in records}


def check_figures(case):
    record, graph = records()[case.record], load(case.net, case.set).graph
    facts = Facts(graph)
    wanted = {"params": record["params"], "macs": record["macs"]} | {name: x for name, (x, _) in case.apart.items()}
    assert facts.params == wanted["params"]
    if wanted["macs"] is not None:
        assert abs(facts.macs - wanted["macs"]) <= 0.005 * wanted["macs"], (facts.macs, wanted["macs"])
    for layer, name in case.milestones.items():
        shape, *field = record["milestones"][layer]
        value = named(graph, name)
        assert list(map(int, value.shape)) == shape, (layer, name)
        if field:  # the record has it
            check_field(facts, value, field[0])
    for layer, name in case.fields.items():
        check_field(facts, named(graph, name), record["fields"][layer])


def check_field(facts, value, expected):
    """The size, and where they are known stride and start, along every axis."""
    for source, field in facts.receptive_fields(value).items():
        assert field is not None, f"{value.name} sees all of {source}"
        for key, number in zip(("size", "stride", "start"), expected, strict=False):
            assert set(getattr(field, key)) == {number}, (value.name, key, getattr(field, key), number)


def named(graph, name):
    """What the net's body, its outputs, or the table of layers call so."""
    values = {node.name: node.output for node in graph.nodes} | dict(graph.named) | dict(graph.outputs)
    return values[name]


# running


def random_feed(graph, value, shape, generator):
    """Normally distributed numbers; of an int64 tensor classes, as many as what it is compared with has channels."""
    if value.type.dtype == "float32":
        return generator.standard_normal(shape).astype(np.float32)
    training = graph.training
    users = [n for n in (*graph.nodes, *(training.nodes if training else ())) if value in n.inputs]
    counts = [int(v.shape[0]) for n in users for v in n.inputs if v.type.dtype == "float32" and v.shape]
    return generator.integers(0, min(counts, default=2), shape)


def feeds(graph, values, batch, given, seed=0):
    generator = np.random.default_rng(seed)
    found = {}
    for value in values:
        shape = (batch, *map(int, value.shape)) if value.type.batched else tuple(map(int, value.shape))
        make = given.get(value.name)
        found[value.name] = make(generator, shape) if make else random_feed(graph, value, shape, generator)
    return found


def losses(case, steps=10, enough=0.9):
    """The loss on one fixed batch before each of `steps` updates, and after the last; no further than to this fraction
    of the first."""
    stepper, rate = prepared(case)
    found = []
    for step in range(steps + 1):
        stepper.step(step, rate)
        found.append(stepper.loss())
        if found[-1] <= enough * found[0]:
            break
    return found


def prepared(case):
    """The training step of the net as it is at first, fed with a random batch; and the learning rate."""
    graph = load(case.net, case.set).graph
    training = graph.training
    assert training is not None, "no train block"
    model = build_step(graph, batch=case.batch)
    stepper = Stepper(model, choose_device("cpu", 1), seed=0)
    weights = initial_parameters(graph, 0)
    stepper.load({name: model.state[name].pack(weights) for name in ("parameters", "statistics", "fixed")
                  if name in model.state})  # fmt: skip
    values = (*graph.inputs, *(target.value for target in training.targets))
    fed = feeds(graph, values, case.batch, case.feeds)
    for name, tensor in (*model.inputs.items(), *model.targets.items()):
        if tensor in stepper.feeds:
            stepper.feeds[tensor][...] = fed[name]
    rate = training.optimizer.rate.arguments["start"] if case.rate is None else case.rate
    return stepper, float(rate)


# feeds


def signs(generator, shape):
    """-1 or +1."""
    return (2 * generator.integers(0, 2, shape) - 1).astype(np.float32)


def bits(generator, shape):
    """0 or 1."""
    return generator.integers(0, 2, shape).astype(np.float32)


def below(count):
    """Whole numbers from 0 up to, but without, `count`: tokens, classes."""
    return lambda generator, shape: generator.integers(0, count, shape)
