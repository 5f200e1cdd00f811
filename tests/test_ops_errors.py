"""What a user is told where an operator does not fit: code, words, way out."""


import pytest

from netdsl.ir import Size, TensorType, Value
from netdsl.ops import OPERATORS, Args, Misfit, Site
from netdsl.ops.arguments import COUNT, COUNTS, CROPS, NUMBER, PADDING, SHAPE

H = Size.symbol("H", 88)


def misfit(op, *inputs, labels=("`a`", "`b`", "`c`"), **arguments):
    """The rejection of the operator applied to inputs of the shapes (or types)."""
    types = [x if isinstance(x, TensorType) else TensorType(tuple(x)) for x in inputs]
    operator = OPERATORS[op]
    args = Args({a.name: a.default for a in operator.arguments}, **arguments)
    site = Site(args, tuple(Value("x", t) for t in types), labels[: len(types)])
    with pytest.raises(Misfit) as caught:
        operator.resolve(site)
        operator.infer(site)
    return caught.value


def test_a_learned_tensor_is_limited_in_size_like_what_is_computed():
    found = misfit("param", shape=[2**21, 2**20])
    assert found.code == "E0319" and "[2097152, 1048576]" in found.message


@pytest.mark.parametrize("shapes, words", [
    (((3, 4), (3, 5)), "widths 4 and 5 differ"),
    (((3, 4, 5, 6), (3, 2, 5, 6)), "depths 4 and 2 differ"),
    (((3, 4, 5), (3, 4)), "they have 3 and 2 axes"),
    (((3, H, 5), (3, 44, 5)), "heights H=88 and 44 differ"),
    (((1, 2, 3, 4, 5), (1, 2, 3, 4, 6)), "sizes 5 and 6 of axis 4 differ"),
])  # fmt: skip
def test_concat_names_the_axis(shapes, words):
    assert misfit("concat", *shapes).message.endswith(words)


def test_a_map_without_channels_and_one_with():
    found = misfit("less", (5, 8, H), TensorType((8, H), "float32"))
    assert found.helps == ("`reshape(b, [1, 8, H])` gives it a channel axis",)
    assert not misfit("add", (3, 8, 8), TensorType((1, 8, 9), "float32", False)).helps


def test_concat_of_different_kinds():
    assert "float32 and int64" in misfit("concat", (3, 4), TensorType((3, 4), "int64")).message


def test_a_size_that_divides_suggests_upsampling():
    assert any("`upsample(2)` brings `b` to 88" in line for line in misfit("add", (3, 88), (3, 44)).helps)


@pytest.mark.parametrize("op, verb", [("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("div", "divide"),
                                      ("sum", "add"), ("mean", "average"), ("max", "compare")])  # fmt: skip
def test_arithmetic(op, verb):
    found = misfit(op, (64, 8, 8), (32, 8, 8))
    assert (found.code, found.message) == ("E0311", f"cannot {verb} `a` and `b`: channels 64 and 32 differ")
    assert found.notes == ("`a` is [64, 8, 8], `b` is [32, 8, 8]",)
    assert found.helps == ("`-> conv(64, 1)` brings `b` to 64 channels",)


def test_arithmetic_of_different_ranks():
    assert misfit("add", (3, 8), (3, 8, 8)).message == "cannot add `a` and `b`: they have 2 and 3 axes"
    assert misfit("mul", (3, 8, 8), (4,)).message == "cannot multiply `a` and `b`: channels 3 and 4 differ"


def test_arithmetic_operands():
    assert misfit("add", (3,)).code == "E0309"
    assert misfit("add", (3,), (3,), right=2.0).code == "E0309"
    assert misfit("div", (3,), right=0).message == "`a` is divided by zero"
    found = misfit("div", (3,), right=H - 88)
    assert (found.code, found.message) == ("E0318", "`a` is divided by zero")
    assert found.notes == ("H - 88 is 0 at the sizes that are given",)


@pytest.mark.parametrize("op, arguments", [("dense", {"units": 10}), ("rbf", {"classes": 10})])
def test_dense_needs_a_vector(op, arguments):
    found = misfit(op, (64, H, 8), **arguments)
    assert (found.code, found.message) == ("E0310", f"`{op}` needs a vector [D], and `a` is [64, H=88, 8]")
    assert found.helps == ("put `flatten` or `global_avg_pool` before it", "per position use `conv(n, 1)`")


def test_dense_fixes_a_symbolic_length():
    args = Args(units=3, bias=True, init=None, trainable=True, weight_norm=False)
    site = Site(args, (Value("x", TensorType((4 * H,))),), ("`x`",))
    OPERATORS["dense"].resolve(site)
    assert site.fixes == [(4 * H, "the vector's length decides the weights")]
    assert OPERATORS["dense"].parameters(site)["weight"].shape == (3, 352)


@pytest.mark.parametrize("op, inputs, arguments, code, words", [
    ("max_pool", [(3,)], {"kernel": 2}, "E0301", "`max_pool` needs [C, W]"),
    ("global_avg_pool", [(3,)], {}, "E0301", "`a` is [3]"),
    ("max_pool", [(3, 8, 8)], {"kernel": [2, 2, 2]}, "E0302", "`kernel` lists 3 values, and `a` has 2 spatial axes"),
    ("max_pool", [(3, 4, 9)], {"kernel": 5}, "E0303", "a window of 5 does not fit: `a` is [3, 4, 9], its height 4"),
    ("avg_pool", [(3, 8)], {"kernel": 2, "pad": 2}, "E0313", "`pad = 2` puts whole windows of 2 into the padding"),
    ("max_pool", [(3, 2)], {"kernel": 2, "pad": 1, "dilation": 5}, "E0313", "step over all 2 cells of `a`"),
    ("pad", [(3, 8, 8)], {"cells": [-4, 0]}, "E0303", "the crop leaves nothing of `a`, which is [3, 8, 8]"),
    ("crop_like", [(3, 8, 8), (3, 9, 8)], {}, "E0314", "cannot crop `a` to `b`: it is smaller, heights 8 and 9 differ"),
    ("crop_like", [(3, 8, 9), (3, 6, 6)], {"offset": 3}, "E0314", "crop `a` to `b` from 3 on: heights 8 and 6 differ by 2"),
    ("crop_like", [(3, 8, 9), (3, 6, 6)], {"offset": [1]}, "E0302", "`offset` lists 1 values, and `a` has 2 spatial axes"),
    ("crop_like", [(3, 8, 8), (3, 9)], {}, "E0301", "the same number of spatial axes: `a` is [3, 8, 8] and `b` [3, 9]"),
    ("reshape", [(3, 8)], {"shape": [5, 5]}, "E0315", "cannot reshape `a`: [3, 8] has 24 elements, and [5, 5] has 25"),
    ("reshape", [(3, 8)], {"shape": [5, -1]}, "E0315", "[3, 8] has 24 elements, and 5 do not divide them"),
    ("upsample", [(3, 8)], {"factor": 2, "mode": "bilinear"}, "E0301", "`bilinear` is for two spatial axes"),
    ("concat", [(3, 8)], {"axis": "height"}, "E0317", "`a` is [3, 8] and has no axis `height`"),
    ("concat", [(3, 8)], {"axis": 2}, "E0317", "has no axis `2`"),
    ("bn", [()], {}, "E0301", "`bn` works per channel, and `a` has none"),
    ("softmax", [()], {}, "E0301", "`softmax` goes over the channels, and `a` has none"),
    ("relu", [TensorType((3,), "int64")], {}, "E0320", "`relu` computes with float32, and `a` is int64"),
    ("flatten", [TensorType((3,), "float32", False)], {}, "E0308", "`flatten` needs a tensor with a batch axis"),
    ("cross_entropy", [(2, 8), TensorType((8,), "int64"), (4,)], {}, "E0316", "each label has a weight: `b` is [8], `c` [4]"),
    ("cross_entropy", [(2, 8), *[TensorType((8,), "int64")] * 2], {}, "E0320", "weights in float32, one for each position"),
    ("add", [(), (3,)], {}, "E0311", "cannot add `a` and `b`: they have 0 and 1 axes"),
    ("add", [TensorType((3,), "bool"), (3,)], {}, "E0320", "`+` computes with float32, and `a` is bool"),
    ("less", [TensorType((3,), "int64"), (3,)], {}, "E0320", "cannot compare `a` and `b`: int64 and float32"),
    ("less", [TensorType((3,), "int64")], {"right": 0.5}, "E0320", "`a` holds whole numbers, and 0.5 is none"),
    ("less", [TensorType((3,), "int64")], {"right": 1e30}, "E0320", "`a` holds int64 numbers, and 1e+30 is beyond"),
    ("equal", [TensorType((3,), "int64")], {"left": 2**63}, "E0320", "`a` holds int64 numbers, and 9223372036854775808"),
    ("and", [TensorType((3,), "bool"), (3,)], {}, "E0320", "`and` computes with bool, and `b` is float32"),
    ("where", [(3,), (3,), (3,)], {}, "E0320", "`where` chooses by a condition, and `a` is float32"),
    ("where", [TensorType((3,), "bool"), (3,)], {}, "E0309", "`where` takes a condition and two tensors or numbers"),
    ("where", [TensorType((3,), "bool")] * 3, {}, "E0320", "`where` chooses between numbers, and `b` is bool"),
    ("sum", [(3, 8, 8), (3, 8, 8)], {"axis": 0}, "E0309", "`sum` over an axis takes one tensor, and receives 2"),
    ("max", [(3, 8, 8)], {"axis": ["height", 1]}, "E0317", "`axis` names the height twice"),
    ("mean", [(3, 8)], {"axis": [0, "height"]}, "E0317", "`a` is [3, 8] and has no axis `height`"),
    ("slice", [(3, 8, 8)], {"start": 1, "end": 4}, "E0323", "there are no channels 1 to 4 of `a`, which is [3, 8, 8]"),
    ("slice", [(3, 8, 8)], {"start": -9, "axis": "width"}, "E0323", "there are no places -1 to 8 along the width of `a`"),
    ("slice", [(3, 8)], {"start": 5, "end": 5, "axis": 1}, "E0323", "there is no place 5 along the width of `a`"),
    ("slice", [(3, H)], {"start": 0, "end": 89, "axis": 1}, "E0323", "no places 0 to 89 along the width of `a`"),
    ("split", [(3, 8, 8)], {"parts": 2}, "E0323", "`a` is [3, 8, 8], and its 3 channels are not 2 equal parts"),
    ("split", [(3, 8, 8)], {"parts": [4, 5], "axis": 1}, "E0323", "its 8 cells along the height are not [4, 5]"),
    ("split", [(3, 8, 8)], {"parts": 9, "axis": 1}, "E0323", "its 8 cells along the height are not 9 equal parts"),
    ("gather", [(3, 8, 8)], {"places": [0, 3]}, "E0323", "there are no channels 0 to 3 of `a`, which is [3, 8, 8]"),
    ("gather", [(3, 8, 8)], {"places": [-4]}, "E0323", "there is no channel -4 of `a`"),
    ("gather", [(3, 8, 8)], {}, "E0309", "`gather` takes a tensor and places"),
    ("gather", [(3, 8, 8), (2,)], {}, "E0320", "`gather` takes places as an int64 vector, and `b` is float32 [2]"),
    ("resize", [(3, 8)], {"size": 4}, "E0301", "`bilinear` is for two spatial axes, and `a` has 1"),
    ("resize", [(3, 8, 8)], {"size": [4, 4, 4]}, "E0302", "`size` lists 3 values, and `a` has 2 spatial axes"),
    ("resize_like", [(3, 8, 8), (3, 8)], {}, "E0301", "the same number of spatial axes: `a` is [3, 8, 8] and `b` [3, 8]"),
    ("softmax", [(3, 8)], {"axis": "height"}, "E0317", "`a` is [3, 8] and has no axis `height`"),
    ("embedding", [(3, 8)], {"channels": 4, "vocabulary": 9}, "E0320", "`embedding` computes with int64, and `a` is float32"),
    ("coordinates", [(3,)], {}, "E0301", "`coordinates` needs a tensor with spatial axes, and `a` is [3]"),
    ("matmul", [(3, 4), TensorType((5, 3), "float32", False)], {}, "E0311", "cannot multiply `a` and `b`"),
    ("cross_entropy", [(10,), (10,)], {}, "E0320", "compares logits with class labels: `a` is float32, `b` float32"),
    ("cross_entropy", [(10, 8, 8), TensorType((8, 7), "int64")], {}, "E0316",
     "`a` is [10, 8, 8], and its class labels would be [8, 8]: `b` is [8, 7]"),
    ("accuracy", [(10, 8, 8), TensorType((), "int64")], {}, "E0316", "would be [8, 8]: `b` is []"),
    ("mean_squared_error", [(4,), (5,)], {}, "E0316", "compares tensors of one shape: `a` is [4], `b` [5]"),
    ("upsample", [(3, 8, 8)], {"factor": 2**30}, "E0319", "numbers per sample"),
    ("locally_connected", [(3, 4, 9)], {"channels": 2, "kernel": 5}, "E0303", "a window of 5 does not fit: `a` is [3, 4, 9]"),
    ("conv", [(3, 8, 8)], {"channels": 2, "kernel": 3, "pad": "causal"}, "E0301", 'is for sequences [C, T], and `a` is [3, 8, 8]'),
    ("locally_connected", [(3,)], {"channels": 2, "kernel": 5}, "E0301", "`locally_connected` needs [C, W]"),
])  # fmt: skip
def test_messages(op, inputs, arguments, code, words):
    found = misfit(op, *inputs, **arguments)
    assert found.code == code
    assert words in found.message


@pytest.mark.parametrize("kind, good, bad", [
    (COUNT, [1, 7], [0, -1, True, 1.0, "1", None, 2**31]),
    (COUNTS, [1, [1, 2, 3]], [[], [1, 2, 3, 4], [0], [[1]]]),
    (PADDING, [0, "same", [1, 2]], ["valid", -1, [1, "same"]]),
    (NUMBER, [0, -1.5, 3], [float("inf"), float("nan"), 10**39, True, "1"]),
    (CROPS, [0, -3, [1, -2], [[1, 2], 3]], [[], [[1]], [[1, 2, 3]], 1.5]),
    (SHAPE, [[1], [-1, 3], [H, 2]], [[], 3, [0], [-1, -1], [-2], [1.0]]),
])  # fmt: skip
def test_kinds(kind, good, bad):
    for value in good:
        assert kind.check(value) is value
    for value in bad:
        with pytest.raises(ValueError):
            kind.check(value)


def test_matrices_that_do_not_fit():
    found = misfit("matmul", (16, 8), (10, 8))
    assert (found.code, found.message) == ("E0311", "cannot multiply `a` and `b`: rows of 8 meet columns of 10")
    assert found.notes == ("`a` is [16, 8], `b` is [10, 8]",)
    assert found.helps == ("`transpose` exchanges the rows and columns of `b`",)
    assert not misfit("matmul", (16, 8), (10, 6)).helps
    assert "before the last two differ" in misfit("matmul", (2, 16, 8), (8, 10)).message
    assert misfit("matmul", (), (16, 2)).code == misfit("transpose", (16,)).code == "E0301"
    assert "rows of 16 meet columns of 8" in misfit("matmul", (16,), (8, 16)).message
