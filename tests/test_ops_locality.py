"""What operators say an output position depends on, `locality`, against execution; and that resolving again changes nothing."""

from math import ceil, floor, lcm

import numpy as np
import pytest
from op_cases import CASES
from op_running import applied, compiled, random_inputs, random_parameters, run

from netdsl.ops import OPERATORS, UNSEEN, Args, Site
from netdsl.ops.reach import Reach


def node_of(case):
    return applied(case.op, case.shapes, case.args, case.dtypes)[1]


TENSORS = [c for c in CASES if c.shapes and OPERATORS[c.op].style != "loss" and "unbatched" not in c.dtypes]
SAME_RANK = [case for case in TENSORS if len({len(shape) for shape in case.shapes}) == 1]
MAPS = [case for case in SAME_RANK if len(case.shapes[0]) > 1]
AT_ITS_PLACE = [case for case in MAPS if node_of(case).op.locality_of(node_of(case)) in ("element", "position")]
ELEMENTS = [c for c in AT_ITS_PLACE if node_of(c).op.locality_of(node_of(c)) == "element" and len(set(c.shapes)) == 1]
WINDOWS = [case for case in MAPS if node_of(case).op.locality_of(node_of(case)) == "window"]


def outputs(case, inputs):
    """The case's operator, with the parameters of the case's shapes, on inputs of other sizes."""
    b, node = applied(case.op, [x.shape[1:] for x in inputs], case.args, case.dtypes)
    return run(compiled(b, node, random_parameters(node_of(case))), inputs)


@pytest.mark.parametrize("case", TENSORS, ids=str)
def test_windowed_is_what_reaches_as_its_kernel_strides(case):
    node = node_of(case)
    a, reach = node.args, node.op.reaches(node)[0]
    by_arguments = False
    if {"kernel", "stride", "dilation", "pads"} <= a.keys() and isinstance(a.kernel, tuple) and isinstance(reach, tuple):
        axes = zip(a.kernel, a.stride, a.dilation, a.pads, strict=True)
        by_arguments = reach == tuple(Reach(s, -begin, d * (k - 1) - begin) for k, s, d, (begin, _) in axes)
    assert node.op.windowed == by_arguments


@pytest.mark.parametrize("case", AT_ITS_PLACE, ids=str)
def test_positions_are_independent(case):
    """Positions in another order: the outputs come in that order. One position alone: the same, also as a vector."""
    inputs = random_inputs(case.shapes, case.dtypes)
    whole, width = outputs(case, inputs), max(shape[-1] for shape in case.shapes)
    order = np.random.default_rng(0).permutation(width)
    turned = outputs(case, [x[..., order] if x.shape[-1] == width else x for x in inputs])
    np.testing.assert_allclose(turned, whole[..., order], rtol=1e-5, atol=1e-6)
    here = (..., *(0,) * (whole.ndim - 2))
    vectors = outputs(case, [x[here] for x in inputs])
    np.testing.assert_allclose(vectors, whole[here], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ELEMENTS, ids=str)
def test_elements_are_independent(case):
    inputs = random_inputs(case.shapes, case.dtypes)
    flat = outputs(case, [x.reshape(len(x), -1) for x in inputs])
    np.testing.assert_allclose(flat, outputs(case, inputs).reshape(len(flat), -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", WINDOWS, ids=str)
def test_windows_move(case):
    """Inputs moved by whole strides: outputs whose window lies inside both times move along."""
    first, last, stride = _reach(case)
    step = lcm(stride.denominator * stride.numerator, stride.numerator)  # input cells, which whole output cells
    inputs = random_inputs([(*shape[:-1], shape[-1] + 2 * step + 6) for shape in case.shapes])
    whole, moved = outputs(case, inputs), outputs(case, [x[..., step:] for x in inputs])
    size, by, compared = inputs[0].shape[-1] - step, int(step / stride), 0
    for u in range(moved.shape[-1]):
        if ceil(stride * u + first) >= 0 and floor(stride * u + last) < size and u + by < whole.shape[-1]:
            np.testing.assert_allclose(moved[..., u], whole[..., u + by], rtol=1e-4, atol=1e-5)
            compared += 1
    assert compared


def _reach(case):
    """Along the last axis, of the first input."""
    from fractions import Fraction

    node = node_of(case)
    reach = node.op.reaches(node)[0]
    assert reach is not None and reach is not UNSEEN
    return Fraction(reach[-1].first), Fraction(reach[-1].last), Fraction(reach[-1].stride)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_resolving_again_changes_nothing(case):
    """Passes apply operators again, with the arguments that were resolved."""
    node = node_of(case)
    again = Site(Args(node.args), node.inputs, tuple(f"`{value.name}`" for value in node.inputs))
    node.op.resolve(again)
    assert again.args == node.args
    assert node.op.infer(again) == tuple(value.type for value in node.outputs)
    assert {r: p.shape for r, p in node.op.parameters(again).items()} == {r: p.shape for r, p in node.parameters.items()}
