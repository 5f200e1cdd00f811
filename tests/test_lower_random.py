"""The random numbers of a training step: bit for bit what numpy computes, and as good as they must be."""

from zlib import crc32

import numpy as np
import onnx
import pytest

from netdsl.elaborate import load_text
from netdsl.lower import initial_parameters, lower_graph
from netdsl.lower.emit import Emitter
from netdsl.lower.random import Uniform
from tests.distribution import excess, kolmogorov
from tests.onnx_running import model_of, session

WEYL = np.uint32(0x9E3779B1)


def permuted(word):
    return word * (word + word + np.uint32(1))


def rounded(word):
    word = permuted(word)
    return word + (word >> np.uint32(16))


def word_of(number):
    return np.array([number], np.int64).astype(np.uint32)


def reference(shape, seed, step, stream):
    """The specification, in numpy."""
    with np.errstate(over="ignore"):
        run = rounded(rounded(rounded(rounded(word_of(seed) + WEYL)) + word_of(step) * WEYL))
        first = rounded(rounded(run + np.uint32(crc32(stream.encode()))))
        second = rounded(first + WEYL)
        word = rounded(np.arange(np.prod(shape), dtype=np.uint32) * WEYL + first)
        word = permuted(rounded(word + second))
    return ((word >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)


def draw_session(provider, streams=("drop",)):
    """A model with the inputs like, seed and step, and one output per stream."""
    model = onnx.ModelProto(ir_version=10)
    model.opset_import.add(domain="", version=20)
    model.graph.name = "draw"
    names = [f"out{i}" for i in range(len(streams))]
    emitter = Emitter(model.graph, ["like", "seed", "step", *names])
    uniform = Uniform(emitter, provider, "seed", "step")
    for stream, name in zip(streams, names, strict=True):
        emitter.begin(stream, "test.net:1:1")
        emitter.end([uniform.draw("like", stream)], [name])
    like = model.graph.input.add(name="like").type.tensor_type
    like.elem_type = 1
    for dim in "AB":
        like.shape.dim.add().dim_param = dim
    for name in ("seed", "step"):
        scalar = model.graph.input.add(name=name).type.tensor_type
        scalar.elem_type = 7
        scalar.shape.SetInParent()
    for name in names:
        drawn = model.graph.output.add(name=name).type.tensor_type
        drawn.elem_type = 1
        drawn.shape.CopyFrom(like.shape)
    return session(model)


def draw(s, shape, seed, step):
    return s.run(None, {"like": np.zeros(shape, np.float32), "seed": np.array(seed), "step": np.array(step)})


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_bit_equal_to_numpy(provider):
    s = draw_session(provider, ("drop", "stage2/drop"))
    for seed, step in ((0, 0), (1, 2), (2**31 + 5, 10**6), (-3, 7)):
        for got, stream in zip(draw(s, (37, 53), seed, step), ("drop", "stage2/drop"), strict=True):
            np.testing.assert_array_equal(got, reference((37, 53), seed, step, stream))


def test_the_forms_for_cuda_use_what_cuda_has():
    model = onnx.ModelProto()
    emitter = Emitter(model.graph, [])
    Uniform(emitter, "cuda", "seed", "step").draw("like", "drop")
    operators = {node.op_type for node in model.graph.node}
    assert not operators & {"BitShift", "BitwiseXor", "BitwiseAnd", "BitwiseOr"}


def test_uniform():
    numbers = np.concatenate([reference((100_000,), 0, step, "drop") for step in range(20)]).astype(np.float64)
    assert numbers.min() >= 0 and numbers.max() < 1
    deviation = np.sqrt(1 / 12 / numbers.size)
    assert abs(numbers.mean() - 0.5) < 4 * deviation
    counts = np.bincount((numbers * 1000).astype(int), minlength=1000)
    assert excess(counts) < 4.5
    low_bits = (numbers * 2**24).astype(int) & 255
    assert excess(np.bincount(low_bits, minlength=256)) < 4.5


def test_pairs_within_a_draw():
    """Neighbours, rows and powers of two apart: 32 x 32 cells of a pair are hit equally often."""
    numbers = reference((1 << 20,), 3, 4, "drop")
    for lag in (1, 2, 3, 7, 28, 32, 64, 1024, 4096, 65536):
        cells = (numbers[:-lag] * 32).astype(int) * 32 + (numbers[lag:] * 32).astype(int)
        assert excess(np.bincount(cells, minlength=1024)) < 4.5, lag


@pytest.mark.parametrize(
    "other", [(0, 1, "drop"), (1, 0, "drop"), (0, 2**16, "drop"), (0, 0, "drop.1"), (2**20, 0, "drop")]
)
def test_draws_are_independent(other):
    """Other step, seed or application: no cell of a pair is preferred, at no shift of one against the other."""
    a, b = reference((1 << 18,), 0, 0, "drop"), reference((1 << 18,), *other)
    for shift in (0, 1, 5, 1000):
        cells = (a * 16).astype(int) * 16 + (np.roll(b, shift) * 16).astype(int)
        assert excess(np.bincount(cells, minlength=256)) < 4.5


def test_one_element_over_many_steps():
    numbers = np.array([reference((4,), 0, step, "drop") for step in range(5_000)])
    for element in numbers.T:
        assert kolmogorov(element) < 2.2
        pairs = (element[:-1] * 10).astype(int) * 10 + (element[1:] * 10).astype(int)
        assert excess(np.bincount(pairs, minlength=100)) < 4.5


def test_one_bit_of_the_index_changes_half_of_the_bits():
    index = np.random.default_rng(0).integers(0, 1 << 20, 20_000)
    bits = (reference((1 << 21,), 0, 0, "drop") * 2**24).astype(np.uint32)
    for bit in range(20):
        changed = bits[index] ^ bits[index ^ (1 << bit)]
        for place in range(24):
            assert abs(((changed >> place) & 1).mean() - 0.5) < 0.03, (bit, place)


def test_dropout():
    graph = load_text("""net a : x[1000] -> y { y = x -> dropout(0.3) @first -> dropout(0.5) }
    train a {
        target = value(t, [1000])
        loss = mean_squared_error(y, t)
        optimizer = sgd(lr = 0.1)
        batch = 50
        epochs = 1
    }""")
    lowered = lower_graph(graph, "training")
    s = session(model_of(lowered, initial_parameters(graph, 0)))
    feed = {"x": np.ones((50, 1000), np.float32), "t": np.zeros((50, 1000), np.float32)}

    def step(seed, count):
        return s.run(["y"], {**feed, lowered.seed: np.array(seed), lowered.step: np.array(count)})[0]

    y = step(0, 0)
    assert sorted(np.unique(y)) == pytest.approx([0, 1 / 0.7 / 0.5])
    assert abs((y > 0).mean() - 0.35) < 0.01
    assert abs(y.mean() - 1) < 0.02
    np.testing.assert_array_equal(y, step(0, 0))
    for other in (step(0, 1), step(1, 0)):
        assert abs(((y > 0) & (other > 0)).mean() - 0.35**2) < 0.01
