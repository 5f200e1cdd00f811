"""Every operator's rules against execution: shape, parameters, cost, lowering, and what an output position sees."""

import re
from fractions import Fraction
from itertools import product
from math import ceil, floor, prod

import numpy as np
import onnx
import pytest
import torch
from op_cases import CASES, count
from op_running import applied, compiled, random_inputs, random_parameters, run_all

from netdsl.ir import Size
from netdsl.ops import OPERATORS, REQUIRED, UNSEEN, Reach, elements

SPATIAL = [c for c in CASES if OPERATORS[c.op].style != "loss" and c.shapes and len(c.shapes[0]) > 1
           and "unbatched" not in c.dtypes]  # fmt: skip
# a reshape's symbolic sizes are fixed, and the first axis, which a product of two matrices sums over, has no name
# what `unpool` brings back is bound to the sizes of its third input, for which test_ops_unpool has a pool
BOUND = [c for c in SPATIAL if c.op in ("reshape", "flatten") or (c.op, len(c.shapes[0])) == ("matmul", 2)
         or (c.op, len(c.shapes)) == ("unpool", 3)]  # fmt: skip
NUMBERS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
COST = re.compile(
    rf"({'|'.join(NUMBERS)})(?: FLOPs? per (output element|input element|element|logit|score)(?: \(.*\))?|(?<=none)(?:: .*)?)"
)
DYNAMIC = [case for case in SPATIAL if case not in BOUND]


def truth(case, parameters, inputs):
    """What each output is to hold."""
    tensors = [torch.from_numpy(x) for x in inputs]
    found = case.torch({role: torch.from_numpy(p) for role, p in parameters.items()}, *tensors)
    return [tensor.numpy() for tensor in (found if isinstance(found, tuple) else (found,))]


def test_every_operator_has_a_case():
    assert {case.op for case in CASES} == set(OPERATORS)


@pytest.mark.parametrize("op", OPERATORS.values(), ids=lambda op: op.name)
def test_declaration_is_complete(op):
    assert op.summary and op.example and op.cost and op.__doc__
    assert op.name in op.example or (op.symbol and op.symbol in op.example) or op.name == "neg"
    for argument in op.arguments:
        assert argument.doc, argument.name
        if argument.default is not REQUIRED:
            argument.kind.check(argument.default)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_output_equals_torch(case, provider):
    b, node = applied(case.op, case.shapes, case.args, case.dtypes)
    parameters, inputs = random_parameters(node), random_inputs(case.shapes, case.dtypes, below=case.below)
    model = compiled(b, node, parameters, provider)
    onnx.checker.check_model(model, full_check=True)
    if provider == "cuda":  # whose transposed convolutions have pads of one size on both sides of an axis
        pads = [at.ints for n in model.graph.node if n.op_type == "ConvTranspose" for at in n.attribute if at.name == "pads"]
        assert all(p[: len(p) // 2] == p[len(p) // 2 :] for p in pads)
    outputs = zip(node.outputs, truth(case, parameters, inputs), run_all(model, inputs), strict=True)
    for value, expected, found in outputs:
        assert found.dtype == expected.dtype == value.type.dtype
        batch = (3,) if value.type.batched else ()
        assert expected.shape == (*batch, *value.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", [case for case in CASES if COST.fullmatch(OPERATORS[case.op].cost)], ids=str)
def test_what_is_said_of_flops_is_what_is_counted(case):
    """Where a sentence has no conditions: a number per element."""
    op, said = OPERATORS[case.op], COST.fullmatch(OPERATORS[case.op].cost)
    assert said is not None
    node = applied(case.op, case.shapes, case.args, case.dtypes)[1]
    value = node.output if said[2] == "output element" or not node.inputs else node.inputs[0]
    assert op.flops(node) == NUMBERS.index(said[1]) * elements(value.shape)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_counts(case):
    _, node = applied(case.op, case.shapes, case.args, case.dtypes)
    assert {role: p.shape for role, p in node.parameters.items()} == dict(case.parameters)
    assert {role for role, p in node.parameters.items() if p.buffer} == case.buffers
    if node.args.get("connect") is None:
        assert sum(p.count for p in node.parameters.values()) == count(case.parameters)
    assert node.op.macs(node) == case.macs
    assert node.op.flops(node) == (elements(node.output.shape) if case.flops is None else case.flops)


@pytest.mark.parametrize("case", DYNAMIC, ids=str)
def test_symbolic_sizes(case):
    """Compiled once with symbolic sizes, the model has at other sizes the shape that the rule says, and the numbers."""
    letters = "DHWXYZ"
    sizes = sorted({size for shape in case.shapes for size in shape[1:] if size > 1})
    names = {size: letters[i] for i, size in enumerate(sizes)}
    symbolic = [(shape[0], *((names[s], s) if s > 1 else s for s in shape[1:])) for shape in case.shapes]
    b, node = applied(case.op, symbolic, case.args, case.dtypes)
    parameters = random_parameters(node)
    model = compiled(b, node, parameters)
    onnx.checker.check_model(model, full_check=True)
    for growth in (0, 1, 4):
        # equal sizes grow equally; crop_like's second input less than its first
        actual = [(s[0], *(size + growth if size > 1 else 1 for size in s[1:])) for s in case.shapes]
        inputs = random_inputs(actual, case.dtypes, below=case.below)
        at = {name: size + growth for size, name in names.items()}
        outputs = zip(node.outputs, truth(case, parameters, inputs), run_all(model, inputs), strict=True)
        for value, expected, found in outputs:
            shape = tuple(dim.at(at) if isinstance(dim, Size) else dim for dim in value.shape)
            assert found.shape == expected.shape == ((3, *shape) if value.type.batched else shape)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def influence(case, index, axis, output=0):
    """Per output position along a spatial axis, the first and last position of an input that changes it."""
    b, node = applied(case.op, case.shapes, case.args, case.dtypes)
    base = random_inputs(case.shapes, case.dtypes, batch=1, below=case.below)
    size = case.shapes[index][axis]
    changed = [np.repeat(x, 1 + 2 * size, axis=0) for x in base]
    for position in range(size):
        for sign in (0, 1):
            where = [slice(None)] * len(case.shapes[index])
            where[axis] = slice(position, position + 1)
            at = (1 + 2 * position + sign, *where)
            x = changed[index]
            if x.dtype == bool:
                x[at] ^= True
            else:
                x[at] += x.dtype.type((-100, 100)[sign])
    y = run_all(compiled(b, node, random_parameters(node)), changed)[output].astype(np.float32)
    y = np.moveaxis(y, 1 + axis, 1).reshape(len(y), y.shape[1 + axis], -1)
    differs = (np.abs(y - y[:1]) > 1e-3).any(2)[1:].reshape(size, 2, -1).any(1)
    return [(int(seen[0]), int(seen[-1])) if (seen := np.flatnonzero(column)).size else None for column in differs.T]


# an embedding has no words beyond its vocabulary to change to, and its input no channels: test_analysis_receptive has it
@pytest.mark.parametrize("case", [case for case in SPATIAL if case.op != "embedding"], ids=str)
def test_reach(case):
    """No output sees more than its reach, and some output sees each end of it (where the input is not at its end)."""
    _, node = applied(case.op, case.shapes, case.args, case.dtypes)
    for output, reaches in enumerate(node.op.reaches_by_output(node)):
        assert len(reaches) == len(node.inputs) == len(node.op.reaches(node))
        for index, reach in enumerate(reaches):
            if reach is None or not node.output.type.batched:
                continue  # everything: nothing to exceed; or the same for every sample
            rank = len(case.shapes[index])
            if reach is UNSEEN:
                assert all(seen is None for axis in range(1, rank) for seen in influence(case, index, axis, output))
                continue
            assert len(reach) == rank - 1
            for axis, along in enumerate(reach, start=1):
                seen, size = influence(case, index, axis, output), case.shapes[index][axis]
                # behind a resize the outputs that see the ends may lie at the border: that test is below
                check_reach(along, seen, size, tight=not case.op.startswith("resize"))


def check_reach(along, seen, size, tight):
    stride, first, last = (Fraction(v) for v in (along.stride, along.first, along.last))
    slack_first, slack_last = [], []
    for u, span in enumerate(seen):
        low, high = ceil(stride * u + first), floor(stride * u + last)
        if span is None:
            continue
        assert max(low, 0) <= span[0] <= span[1] <= min(high, size - 1)
        slack_first += [span[0] - (stride * u + first)] if low >= 0 else []
        slack_last += [stride * u + last - span[1]] if high < size else []
    if any(seen) and tight:  # not all is padding
        assert slack_first and min(slack_first) == 0
        assert slack_last and min(slack_last) == 0


def test_resizing_reaches_exactly():
    """The hull over the phases, by enumeration, for many sizes."""
    from netdsl.ops.reach import linear, nearest

    for n, m in [*((1, factor) for factor in range(1, 40)), *product(range(1, 20), range(1, 30))]:
        lows, highs, nears = [], [], []
        ratio = Fraction(n, m)
        for u in range(ratio.denominator):
            centre = Fraction(2 * u + 1, 2) * ratio - Fraction(1, 2)
            lows.append(floor(centre) - u * ratio)
            highs.append(ceil(centre) - u * ratio)
            nears.append(floor(u * ratio) - u * ratio)
        assert linear(n, m) == Reach(ratio, min(lows), max(highs)), (n, m)
        assert nearest(n, m) == Reach(ratio, min(nears), max(nears)), (n, m)


def test_nearest_cells_are_exact():
    """Where rounding a scale to float32 would take the cell before, as from 14 to 2 cells."""
    for n, m in [(14, 2), (14, 4), (28, 8), (7, 3), (3, 7), (5, 35)]:
        for shape, size in [((1, n), m), ((1, ("W", n)), m)]:
            b, node = applied("resize", [shape], {"size": size, "mode": "nearest"})
            (found,) = run_all(compiled(b, node, {}), [np.arange(n, dtype=np.float32).reshape(1, 1, n)])
            np.testing.assert_array_equal(found[0, 0], np.arange(m) * n // m)


def test_lenet5_as_lectured():
    """The lecture's figures: C1 156, S2 12, C3 1516, S4 32, C5 48,120, F6 10,164 parameters; 840 fixed codes."""
    offsets = (
        [(0, 1, 2)] * 6 + [(0, 1, 2, 3)] * 6 + [(0, 1, 3, 4)] * 3 + [tuple(range(6))]
    )  # LeCun et al. 1998, table I
    table = [sorted((row + offset) % 6 for offset in offsets[row]) for row in range(16)]
    layers = [
        ("conv", (1, 32, 32), {"channels": 6, "kernel": 5, "pad": 0}, 156),
        ("scale_shift", (6, 14, 14), {}, 12),
        ("conv", (6, 14, 14), {"channels": 16, "kernel": 5, "pad": 0, "connect": table}, 1516),
        ("scale_shift", (16, 5, 5), {}, 32),
        ("conv", (16, 5, 5), {"channels": 120, "kernel": 5, "pad": 0}, 48120),
        ("dense", (120,), {"units": 84}, 10164),
        ("rbf", (84,), {"classes": 10}, 840),
    ]
    for op, shape, args, parameters in layers:
        _, node = applied(op, [shape], args)
        assert sum(p.count for p in node.parameters.values()) == parameters
    assert all(p.buffer and not p.trainable for p in node.parameters.values())


def test_window_rule_of_the_lecture():
    """(W - F + 2P) / S + 1."""
    for width, kernel, pad, stride in [(227, 11, 0, 4), (32, 5, 0, 1), (224, 7, 3, 2), (7, 3, 1, 3)]:
        _, node = applied("conv", [(1, width)], {"channels": 1, "kernel": kernel, "pad": pad, "stride": stride})
        assert prod(node.output.shape) == (width - kernel + 2 * pad) // stride + 1
