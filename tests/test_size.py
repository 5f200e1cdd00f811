"""Symbolic sizes: arithmetic against Python's integers, and one form for sizes that are equal everywhere."""

from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.ir.size import Floor, Size, substituted

H, W = Size.symbol("H", 32), Size.symbol("W", 20)
SMALL = st.integers(-20, 20)

#: a computation: a start and steps, run alike on sizes and on integers
STEPS = st.lists(
    st.tuples(st.sampled_from(["+", "-", "*", "//", "%"]), SMALL)
    | st.tuples(st.sampled_from(["+H", "-W", "neg", "rsub"]), SMALL),
    max_size=8,
)


def compute(start, h, w, steps):
    x = start
    for op, n in steps:
        if op == "+":
            x = x + n
        elif op == "-":
            x = x - n
        elif op == "*":
            x = n * x
        elif op == "//":
            x = x // (abs(n) + 1)
        elif op == "%":
            x = x % (abs(n) + 1)
        elif op == "+H":
            x = x + h
        elif op == "-W":
            x = x - 3 * w
        elif op == "neg":
            x = -x
        else:
            x = n - x
    return x


def value(dim, sizes):
    return dim if isinstance(dim, int) else dim.at(sizes)


@settings(max_examples=500)
@given(STEPS, st.integers(1, 300), st.integers(1, 300))
def test_arithmetic_equals_integers(steps, h, w):
    size = compute(H, H, W, steps)
    assert value(size, {"H": h, "W": w}) == compute(h, h, w, steps)
    assert int(size) == compute(32, 32, 20, steps)


@settings(max_examples=300)
@given(STEPS, st.integers(1, 300))
def test_fixing_a_symbol_puts_its_default(steps, w):
    size = substituted(compute(H, H, W, steps), {"H": 32})
    assert value(size, {"W": w, "H": 7}) == compute(32, 32, w, steps)
    assert isinstance(size, int) or size.symbols() <= {"W"}
    assert isinstance(substituted(size, {"W": 20}), int)


@settings(max_examples=300)
@given(st.lists(st.tuples(SMALL, st.integers(1, 5)), min_size=1, max_size=5))
def test_nested_floors_are_one(chain):
    """A chain of windows: floor((H + a) / b), again and again, stays one floor of a linear form."""
    size = H
    for add, divisor in chain:
        size = (size + add) // divisor
    assert isinstance(size, Size) and len(size.terms) == 1
    atom = size.terms[0][0]
    assert not isinstance(atom, Floor) or all(not isinstance(inner, Floor) for inner, _ in atom.numerator.terms)


def test_equal_sizes_compare_equal():
    assert H + W == W + H and hash(H + W) == hash(W + H)
    assert 2 * (H // 2) != H
    assert (2 * H) // 2 == H and (2 * H + 4) // 2 == H + 2
    assert (H // 2) // 2 == H // 4
    assert (H - 1) // 2 + 1 == (H + 1) // 2  # a convolution with stride 2, by its two formulas
    assert H - H == 0 and isinstance(H - H, int)
    assert ((H + 1) // 2 + 1) // 2 == (H + 3) // 4


def test_shown_as_written():
    assert str(H) == "H"
    assert str(2 * (H // 2) + 1) == "2*floor(H / 2) + 1"
    assert str((H - 4) // 2) == "floor(H / 2) - 2"
    assert str((H - 1) // 2) == "floor((H + 1) / 2) - 1"
    assert str(H - W) == "H - 1*W"
