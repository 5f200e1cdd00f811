"""The legal sizes that the text alone gives, against elaborating the text at every size.

A net is given with numbers as its input's sizes. They are made symbols, and solved; and each size is put in their place
and elaborated. An addition that stretches a size 1 is another net and does not count.
"""

from math import inf

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from net_text import errors, graph

from netdsl.analysis.sizes import legal, statements
from netdsl.diagnostics import Source
from netdsl.elaborate import Limits, elaborate
from netdsl.elaborate.elaborate import attempt
from netdsl.ir import extents, value_at
from netdsl.ir.legal import ANY, NONE, Legal, legal_set
from netdsl.ir.solve import solve
from netdsl.syntax import parse

ARITHMETIC = {"add", "sum"}


class Net:
    """A net, and what may be asked of it. The sizes are called `image's width` and so on."""

    def __init__(self, text):
        self.text = text
        self.file = parse(Source("test.net", text))

    def attempt(self, sizes, lenient=False):
        return attempt(self.file, None, {}, Limits(), sizes, lenient)

    def fits(self, sizes):
        """The nodes where the net elaborates at the sizes."""
        tried = self.attempt(sizes)
        nodes = tried.context.nodes
        stretched = any(len({v.shape for v in n.inputs}) > 1 for n in nodes if n.op.name in ARITHMETIC)
        return None if tried.diagnostics or stretched else nodes

    def solved(self):
        """What is known of the sizes from the text alone."""
        lenient = self.attempt({}, lenient=True)
        found = lenient.context
        return solve(found.symbols, [*found.constraints, *extents(found.nodes)]), lenient


def name(of="width"):
    return f"`x`'s {of}"


def hold(net, symbol, sizes, others=None):
    """Hold the legal sizes of a symbol, and the inferred sizes, against each size; the other symbols stay as given."""
    solution, lenient = net.solved()
    found = solution.legal.get(symbol, ANY)
    assert not solution.left, [str(c.left - c.right) for c in solution.left]
    if lenient.diagnostics:  # something fits at no size at all
        found = NONE
    for size in sizes:
        at = {**(others or {}), symbol: size}
        nodes = net.fits(at)
        assert (nodes is not None) == (size in found), (size, found, net.text)
        if nodes is not None and size < 99:
            for real, symbolic in zip(nodes, lenient.context.nodes, strict=True):
                assert [v.shape for v in real.outputs] == [
                    tuple(value_at(dim, at) for dim in v.shape) for v in symbolic.outputs
                ]
    return found


def chain(statements, size=64):
    return f"net n : x[1, {size}] -> y {{\n{statements}\n}}"


#: nets over one axis, and their legal sizes in words
NETS = {
    "U-Net": ("""
        for d in range(4) { skip[d] = x -> conv(1, 3)
                            x = skip[d] -> max_pool(2) }
        for d in reversed(range(4)) { x = concat(skip[d], x -> deconv(1, 2, stride = 2)) -> conv(1, 3) }
        y = x""", "a multiple of 16"),
    "the original U-Net": ("""
        for d in range(3) { skip[d] = x -> conv(1, 3, pad = 0) -> conv(1, 3, pad = 0)
                            x = skip[d] -> max_pool(2) }
        x = x -> conv(1, 3, pad = 0) -> conv(1, 3, pad = 0)
        for d in reversed(range(3)) {
            up = x -> deconv(1, 2, stride = 2)
            x = concat((skip[d], up) -> crop_like, up) -> conv(1, 3, pad = 0) -> conv(1, 3, pad = 0)
        }
        y = x""", "at least 92"),
    "strides of three": ("""
        a = x -> conv(1, 5, stride = 3)
        b = a -> conv(1, 3, stride = 3)
        y = x + (a + (b -> upsample(3)) -> upsample(3))""", "a multiple of 9"),
    "pyramid": ("""
        a = x -> conv(1, 3, stride = 2)
        b = a -> conv(1, 3, stride = 2)
        c = b -> conv(1, 3, stride = 2)
        p = b + (c -> upsample(2))
        q = a + (p -> upsample(2))
        y = concat(q, x -> avg_pool(2))""", "a multiple of 8"),
    "pools rounding down and up": ("""
        a = x -> max_pool(3, stride = 2)
        b = x -> max_pool(3, stride = 2, ceil = true)
        y = a + b""", "1 more than a multiple of 2, at least 3"),
    "pools that clip the last window": ("""
        a = x -> max_pool(2, stride = 5, pad = 1, ceil = true)
        b = x -> conv(1, 1, stride = 5)
        y = a + b""", "1 to 4 more than a multiple of 5"),
    "deconv with output_pad": ("""
        a = x -> conv(1, 3, stride = 3, pad = 1)
        y = x + (a -> deconv(1, 3, stride = 3, pad = 1, output_pad = 1))""", "2 more than a multiple of 3"),
    "deconv, same": ("""
        a = x -> max_pool(4)
        y = x + (a -> deconv(1, 3, stride = 4))""", "a multiple of 4"),
    "dilated branches": ("""
        a = x -> conv(1, 3, dilation = 6) -> max_pool(2)
        b = x -> conv(1, 3, dilation = 12, stride = 2, pad = 12)
        y = a + b -> conv(1, 3, dilation = 4, pad = 0)""", "a multiple of 2, at least 18"),
    "dilated pool": ("""
        y = x -> max_pool(3, stride = 1, dilation = 3, pad = 2) """, "at least 3"),
    "shuffled channels": ("""
        a = reshape(x, [4, -1]) -> conv(4, 3) -> max_pool(3)
        y = reshape(a, [2, -1])""", "a multiple of 4, at least 12"),
    "a fixed path": ("""
        a = x -> max_pool(7, stride = 3)
        y = concat(a -> upsample(2), x -> conv(1, 3), axis = width) -> conv(1, 9, pad = 0)""", "at least 7"),
    "sides that meet once": ("""
        a = x -> max_pool(2) -> conv(1, 3)
        y = (x -> pad([[-10, 0]])) + a""", "one of 19, 20"),
    "sums along an axis": ("""
        a = x -> max_pool(2)
        b = x -> max_pool(3)
        y = concat(a, b, axis = width) -> conv(1, 9, pad = 0) -> max_pool(2)
        z = (x, a) -> crop_like
        w = concat(a, a, axis = width) + x""", "a multiple of 2, at least 12"),
    "more than the input": ("""
        a = x -> max_pool(2) -> upsample(3)
        y = (x, a -> pad([[-20, 0]])) -> crop_like""", "from 14 to 41, or 43"),
    "sizes in the text": ("""
        half = x.width // 2
        y = reshape(x, [2, half]) -> conv(2, 3) -> pad([[-3, 1]])""", "a multiple of 2, at least 6"),
    "never": ("y = x + (x -> conv(1, 3, pad = 0) -> pad(2))", ""),
}  # fmt: skip


@pytest.mark.parametrize("net", NETS)
def test_legal_sizes_are_those_that_elaborate(net):
    statements, words = NETS[net]
    assert hold(Net(chain(statements)), name(), range(1, 1025)).words() == words


def test_each_axis_has_sizes_of_its_own():
    net = Net("""net n : x[1, 12, 20, 28] -> y {
        a = x -> max_pool([2, 3, 4]) -> conv(1, 3)
        b = a -> max_pool([1, 2, 1]) -> upsample([1, 2, 1])
        y = x + (a + b -> upsample([2, 3, 4]))
        z = x -> conv(1, [5, 7, 9], pad = 0)
    }""")
    good = {name("depth"): 8, name("height"): 12, name("width"): 12}
    words = {
        axis: hold(net, name(axis), range(1, 65), good | {name(axis): 1}).words()
        for axis in ("depth", "height", "width")
    }
    assert words == {"depth": "a multiple of 2, at least 6", "height": "a multiple of 6, at least 12",
                     "width": "a multiple of 4, at least 12"}  # fmt: skip


def test_two_inputs_may_have_to_agree():
    text = (
        "net n : x[1, {w}], z[1, {v}] -> y {{ a = x + (x -> max_pool(3) -> upsample(3))\n y = a + (z -> upsample(2)) }}"
    )
    graph = elaborate(Source("test.net", text.format(w="W = 24", v="V = 12"))).graph
    # V is W / 2, so W is even as well as a multiple of 3
    assert {symbol: sizes.words() for symbol, sizes in legal(graph).items()} == {"V": "a multiple of 3"}
    assert statements(graph) == (
        "V must be a multiple of 3, such as 9, 12, 15 (line 1: add of `x` and the output of `upsample`)",
        "W must equal 2*V (line 2: add of `a` and the output of `upsample`)",
    )
    net = Net(text.format(w=24, v=12))
    for w in range(1, 40):
        for v in range(1, 20):
            fits = net.fits({"`x`'s width": w, "`z`'s width": v}) is not None
            assert fits == (v in legal(graph)["V"] and w == 2 * v)


# random nets over one axis: a line binds the next of a family, from any two before it

SMALL = st.integers(1, 4)


@st.composite
def lines(draw):
    kind = draw(
        st.sampled_from(["conv", "pool", "up", "deconv", "pad", "reshape", "add", "add", "concat", "along", "crop"])
    )
    kernel, stride, dilation = draw(SMALL), draw(SMALL), draw(st.sampled_from([1, 1, 1, 2, 3]))
    if kind == "conv":
        pad = draw(st.sampled_from(['"same"', "0", "1", "2"]))
        return f"a -> conv(1, {kernel}, stride = {stride}, pad = {pad}, dilation = {dilation})"
    if kind == "pool":
        pad, ceil = draw(st.sampled_from(['"same"', "0", "0", "1"])), draw(st.sampled_from(["true", "false"]))
        return f"a -> max_pool({kernel}, stride = {stride}, pad = {pad}, ceil = {ceil}, dilation = {dilation})"
    if kind == "deconv":
        if draw(st.booleans()):
            return f"a -> deconv(1, {kernel}, stride = {stride}, dilation = {dilation})"
        pad, extra = draw(st.integers(0, 2)), draw(st.integers(0, stride - 1))
        return f"a -> deconv(1, {kernel}, stride = {stride}, pad = {pad}, output_pad = {extra})"
    if kind == "pad":
        return f"a -> pad([[{draw(st.integers(-4, 4))}, {draw(st.integers(-4, 4))}]])"
    return {
        "up": f"a -> upsample({stride})", "reshape": f"reshape(a, [{stride}, -1]) -> conv(1, 1)", "add": "a + b",
        "concat": "concat(a, b) -> conv(1, 1)", "along": "concat(a, b, axis = width)", "crop": "(a, b) -> crop_like",
    }[kind]  # fmt: skip


@st.composite
def nets(draw):
    text = ["n[0] = x"]
    for i in range(1, draw(st.integers(2, 8))):
        a, b = draw(st.integers(max(0, i - 3), i - 1)), draw(st.integers(0, i - 1))
        text.append(f"a = n[{a}]\nb = n[{b}]\nn[{i}] = {draw(lines())}")
    return "\n".join(text) + "\ny = n[len(n) - 1]"


@settings(max_examples=25, deadline=None)
@given(nets(), st.integers(2, 80))
@example("a = x -> conv(1, 2, stride = 1, pad = 0, dilation = 2)\ny = (x -> upsample(1)) + a", 2)
def test_legal_sizes_of_random_nets(statements, size):
    found = hold(Net(chain(statements, size)), name(), range(1, 80))
    good = found.near(size)
    assume(good)
    graph = elaborate(Source("test.net", chain(statements).replace("64", f"W = {good[-1]}"))).graph
    assert legal(graph).get("W", ANY) == found  # what the errors say, and what `check` says where there are none


# in the messages


@pytest.mark.parametrize("net", NETS)
def test_the_errors_name_sizes_that_fit(net):
    text = NETS[net][0]
    solution, _ = Net(chain(text)).solved()
    found = NONE if net == "never" else solution.legal[name()]
    wrong = next(h for h in (50, 53, 13, 3, 2, 1) if h not in found)
    for d in errors(chain(text, wrong)):
        near = [h for h in (found.below(wrong), found.above(wrong)) if h is not None]
        told = f"{name()} must be {found.words()}; nearest to {wrong}: {', '.join(map(str, near))}"
        assert [h for h in d.helps if h.startswith(name())] == ([told] if near else [])
        for size in near:
            graph(chain(text, size))


UNET = NETS["U-Net"][0]


def test_all_inputs_and_axes_are_told_of_at_once():
    (d,) = errors("net n : x[1, 358, 358] -> y {" + UNET + "}")
    assert d.helps[0] == "`x`'s height and width must be multiples of 16; nearest to 358: 352, 368"
    (d,) = errors("net n : x[1, H = 89, W = 40, 32] -> y {" + UNET + "}")
    assert d.helps[0] == "H and W must be multiples of 16; nearest to H = 89: 80, 96, to W = 40: 32, 48"
    (d,) = errors("net n : x[1, 34], z[1, 36] -> y { y = x + z + (x -> max_pool(3) -> upsample(3)) }")
    equal = "`z`'s width must equal `x`'s width"
    assert d.helps[:2] == ("`x`'s width must be a multiple of 3; nearest to 34: 33, 36", equal)
    (d,) = errors("net n : x[1, 34], z[1, 35] -> y { y = x + z + (x -> max_pool(3) -> upsample(3)) }")
    both = "`x`'s width and `z`'s width must be multiples of 3; nearest to "
    assert d.helps[:2] == (f"{both}`x`'s width = 34: 33, 36, to `z`'s width = 35: 33, 36", equal)
    (d,) = errors("net n : x[1, 34], z[1, 34] -> y { y = x + z + (x -> max_pool(3) -> upsample(3)) }")
    assert d.helps[0] == f"{both}34: 33, 36" and equal not in d.helps


def test_sizes_behind_the_error_count_too():
    text = """net n : x[1, {}] -> y {{
        a = x + (x -> max_pool(2) -> upsample(2))
        y = a + (a -> max_pool(5) -> upsample(5))
    }}"""
    (d,) = errors(text.format(33))
    assert d.labels[0].span.line == 2
    assert d.helps[0] == "`x`'s width must be a multiple of 10; nearest to 33: 30, 40"


def test_sizes_that_no_input_mends_are_not_told():
    for text in (NETS["never"][0], "y = concat(x, x -> conv(1, 2, pad = 0))"):
        assert not any("nearest" in h for d in errors(chain(text, 33)) for h in d.helps)


def test_sizes_that_are_all_listed_are_not_told_twice():
    assert errors(chain("y = reshape(x, [7, 9])", 33))[0].helps[0] == f"{name()} must be 63"
    near = f"{name()} must be one of 19, 20"
    assert errors(chain(NETS["sides that meet once"][0], 33))[0].helps[0] == f"{near}; nearest to 33: 20"


def test_other_errors_stay_as_they_are():
    found = errors(chain("a = x -> convv(3, 3)\ny = x + (x -> max_pool(2) -> upsample(2))", 33))
    assert [d.code for d in found] == ["E0201", "E0311"]
    assert found[1].helps[0] == "`x`'s width must be a multiple of 2; nearest to 33: 32, 34"
    assert not any("nearest" in h for h in found[0].helps)


def test_a_symbolic_size_can_be_set():
    text = "net n(k = 3) : x[1, W = 32] -> y { y = x + (x -> max_pool(k) -> upsample(k)) }"
    assert int(graph(text, W=30).inputs[0].shape[1]) == 30
    assert graph(text, W=28, k=4).symbols == {"W": 28}
    (d,) = errors(text, W=Source("--set W", "31"))
    assert d.helps[0] == "W must be a multiple of 3; nearest to 31: 30, 33"
    for value in (0, -3, 2.5, "wide", [32]):
        (d,) = errors(text, W=value)
        assert d.code == "E0321" and d.message.startswith("a size is a whole number of at least 1, and this is")


# the sets


def test_the_sizes_next_to_one():
    sizes = Legal(12, (0, 5), 17, others=(3, 9))
    assert [sizes.near(h) for h in (1, 3, 4, 10, 17, 20, 24)] == [
        [3], [3, 9], [3, 9], [9, 17], [9, 17, 24], [17, 24], [17, 24, 29]
    ]  # fmt: skip
    assert sizes.words() == "one of 3, 9, or 0 or 5 more than a multiple of 12, at least 17"
    assert NONE.near(7) == [] and ANY.near(1) == [1, 2]


@settings(max_examples=200)
@given(
    st.integers(1, 6),
    st.sets(st.integers(0, 5)),
    st.integers(1, 20),
    st.none() | st.integers(1, 30),
    st.sets(st.integers(1, 40)),
)
def test_one_form_for_a_set(period, remainders, start, stop, more):
    """However a set is put, it comes out the same, and holds the same sizes."""
    rule = {h for h in range(100) if h % period in remainders}
    end = 1000 if stop is None else stop
    others = {h for h in rule & more if h > 0 and not start <= h < end}
    if stop is None:
        others = {h for h in others if h < start}
    found = legal_set(period, remainders & set(range(period)), start, inf if stop is None else stop, others)
    truth = {h for h in range(1, 100) if (h in rule and start <= h < end) or h in others}
    assert {h for h in range(1, 100) if h in found} == truth
    twice = {h + turn * period for h in remainders & set(range(period)) for turn in (0, 1)}
    assert legal_set(2 * period, twice, start, inf if stop is None else stop, others) == found
    assert found.above(0) == min(truth, default=None)
    assert found.below(100) == max((h for h in truth), default=None) or stop is None


def test_equations_and_bounds_between_symbols():
    net = "net n : a[1, A = 9], b[1, B = 8], c[1, C = 15] -> y, z {{ y = {}\n z = {} }}"
    ab = "concat(a, b, axis = width)"
    found = elaborate(Source("test.net", net.format(f"({ab} -> conv(1, 3, pad = 0)) + c", f"({ab}, c) -> crop_like")))
    assert statements(found.graph) == (
        "A + B - 2 must equal C (line 1: add of the output of `conv` and `c`)",
        "A + B - 2 must be at least 1 (line 1: conv)",
    )
    found = elaborate(Source("test.net", net.format("a -> relu", f"({ab} -> max_pool(2), c -> pad(-4)) -> crop_like")))
    assert statements(found.graph) == (
        "C must be at least 9 (line 2: pad)",
        "floor((A + B) / 2) must be at least C - 8 (line 2: crops the output of `max_pool` to the output of `pad`)",
    )
