"""Nets and expressions drawn at random elaborate to what is computed beside them; for broken ones see test_fuzz.py."""

import operator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from net_text import body, elaborated, graph, names, ops, params
from test_syntax import expression as shown_again

from netdsl.analysis import analyze
from netdsl.diagnostics import Source, SourceError
from netdsl.syntax import parse_expression

quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# expressions

def _binary(symbol, apply):
    return lambda a, b: (f"({a[0]} {symbol} {b[0]})", lambda: apply(a[1](), b[1]()))


NUMBERS = st.one_of(
    st.integers(0, 30).map(lambda n: (str(n), lambda: n)),
    st.sampled_from([("0.5", lambda: 0.5), ("2.25", lambda: 2.25), ("1k", lambda: 1000), ("1e-3", lambda: 1e-3)]),
)


def _sum_of_squares(n, a):
    return f"sum([i * i for i in range({n})] + [{a[0]}])", lambda: sum(i * i for i in range(n)) + a[1]()


def _grow(inner):
    symbols = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
               "%": operator.mod, "<": operator.lt, "==": operator.eq, ">=": operator.ge}  # fmt: skip
    return st.one_of(
        *[st.builds(_binary(symbol, apply), inner, inner) for symbol, apply in symbols.items()],
        st.builds(lambda a, b: (f"({a[0]} and {b[0]})", lambda: a[1]() and b[1]()), inner, inner),
        st.builds(lambda a, b: (f"({a[0]} or {b[0]})", lambda: a[1]() or b[1]()), inner, inner),
        st.builds(lambda a: (f"(-{a[0]})", lambda: -a[1]()), inner),
        st.builds(lambda a: (f"(not {a[0]})", lambda: not a[1]()), inner),
        st.builds(lambda a, n: (f"({a[0]} ** {n})", lambda: a[1]() ** n), inner, st.integers(0, 3)),
        st.builds(
            lambda a, b, c: (f"({a[0]} if {b[0]} else {c[0]})", lambda: a[1]() if b[1]() else c[1]()),
            inner,
            inner,
            inner,
        ),
        st.builds(lambda a, b: (f"max({a[0]}, {b[0]})", lambda: max(a[1](), b[1]())), inner, inner),
        st.builds(lambda a, b: (f"[{a[0]}, {b[0]}][1]", lambda: [a[1](), b[1]()][1]), inner, inner),
        st.builds(_sum_of_squares, st.integers(0, 5), inner),
    )


EXPRESSIONS = st.recursive(NUMBERS, _grow, max_leaves=12)


@quick
@given(EXPRESSIONS)
def test_numbers_come_out_as_in_python(drawn):
    text, value = drawn
    try:
        expected = value()
    except (ZeroDivisionError, OverflowError):
        expected = None
    try:
        found = graph(body("y = x -> relu", f"(n = {text}) : x[3] -> y")).hyperparameters["n"]
    except SourceError as error:
        # booleans are no numbers here: they do not add, and do not compare by size
        assert expected is None or any(word in str(error) for word in ("true", "false")), str(error)
        return
    assert found == expected
    assert isinstance(found, bool) == isinstance(expected, bool)


@quick
@given(EXPRESSIONS)
def test_an_expression_parses_to_itself(drawn):
    once = shown_again(drawn[0])
    assert shown_again(once) == once


# nets


@dataclass
class Draft:
    """A net's text as it is written, and what it comes to: shapes by name, parameters, convolutions."""

    draw: Any
    shapes: dict[str, tuple[int, int, int]] = field(default_factory=lambda: {"x": (3, 16, 16)})
    lines: list[str] = field(default_factory=list)
    params: int = 0
    layers: int = 0

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def layer(self, shape):
        """A layer that takes the shape: its text, its output, its parameters, its number of operators."""
        c, h, w = shape
        kind = self.pick("conv", "relu", "bn", "pool", "up", "repeat", "compose", "stride", "depthwise")
        width, kernel = self.pick(1, 4, 6), self.pick(1, 3, 5)
        if kind == "conv":
            return f"conv({width}, {kernel})", (width, h, w), width * c * kernel**2 + width, 1
        if kind == "stride":
            return f"conv({width}, 3, stride = 2, bias = false)", (width, -(-h // 2), -(-w // 2)), width * c * 9, 1
        if kind == "depthwise":
            return f"conv({c}, 3, groups = {c})", shape, c * 9 + c, 1
        if kind == "bn":
            return "bn", shape, 2 * c, 1
        if kind == "pool" and min(h, w) >= 2:
            return "max_pool(2)", (c, h // 2, w // 2), 0, 1
        if kind == "up" and max(h, w) <= 16:
            return "upsample(2)", (c, 2 * h, 2 * w), 0, 1
        if kind == "repeat":
            n = self.pick(0, 1, 3)
            return f"{n} * (conv({c}, 3) -> relu)", shape, n * (c * c * 9 + c), 2 * n
        if kind == "compose":
            return f"(conv({width}, 1) -> bn -> relu)", (width, h, w), width * c + width + 2 * width, 3
        return "relu", shape, 0, 1

    def chain(self, source, times=1):
        """A pipeline from a tensor. It will be run so many times."""
        text, shape = source, self.shapes[source]
        for _ in range(self.draw(st.integers(1, 3))):
            layer, shape, made, count = self.layer(shape)
            text += f" -> {layer}"
            self.params += times * made
            self.layers += times * count
        return text, shape

    def statement(self, index):
        source = self.pick(*self.shapes)
        c, h, w = self.shapes[source]
        kind = self.pick("chain", "chain", "loop", "family", "join", "concat", "share", "if", "block")
        name = f"t{index}"
        if kind in ("chain", "if"):
            text, shape = self.chain(source)
            self.lines.append(f"{name} = {text}" if kind == "chain" else f"if {c} > 2 or {h} > 0 {{ {name} = {text} }}")
        elif kind == "loop":
            n, shape = self.pick(0, 2), self.shapes[source]
            self.lines += [
                f"{name} = {source}",
                f"for i in range({n}) {{ {name} = {name} -> conv({c}, 3) @c{index} -> relu }}",
            ]
            self.params, self.layers = self.params + n * (c * c * 9 + c), self.layers + 2 * n
        elif kind == "family":
            self.lines += [f"for i in range(3) {{ f{index}[i, 0] = {source} -> conv({c}, 1) }}",
                           f"{name} = sum(f{index}[:, 0], f{index}[7, 0]? -> bn)"]  # fmt: skip
            self.params, self.layers, shape = self.params + 3 * (c * c + c), self.layers + 4, (c, h, w)
        elif kind == "share":
            self.lines += [f"share s{index} = conv({c}, 3)", f"{name} = {source} -> s{index} -> 2 * s{index}"]
            self.params, self.layers, shape = self.params + c * c * 9 + c, self.layers + 3, (c, h, w)
        elif kind == "block":
            self.lines.append(f"{name} = {source} -> residual({c}) @b{index}")
            self.params, self.layers, shape = self.params + c * c * 9 + c + 2 * c, self.layers + 4, (c, h, w)
        else:
            fits = [
                other for other, s in self.shapes.items() if s[1:] == (h, w) and (kind == "concat" or s[0] in (c, 1))
            ]
            other = self.pick(*fits)
            self.lines.append(
                f"{name} = concat({source}, {other})" if kind == "concat" else f"{name} = {source} + {other} * 2 - 1"
            )
            self.layers += 1 if kind == "concat" else 3
            shape = (c + self.shapes[other][0], h, w) if kind == "concat" else (c, h, w)
        self.shapes[name] = shape


RESIDUAL = "block residual(width) : x -> y {\n    main = x -> conv(width, 3) -> bn\n    y = main + x -> relu\n}\n"


@st.composite
def nets(draw):
    draft = Draft(draw)
    for index in range(draw(st.integers(1, 6))):
        draft.statement(index)
    # every tensor is read in the end, so that nothing is left out
    ends = " ".join(f", {name} -> global_avg_pool" for name in draft.shapes)[2:]
    draft.lines.append(f"y = concat({ends})")
    draft.layers += len(draft.shapes) + 1
    return body("\n".join(draft.lines), before=RESIDUAL), draft


@quick
@given(nets())
def test_a_valid_net_comes_to_what_it_says(drawn):
    text, draft = drawn
    found = graph(text)
    assert found.outputs["y"].shape == (sum(c for c, _, _ in draft.shapes.values()),)
    for name, shape in draft.shapes.items():
        assert found.named[name].shape == shape
    assert params(found) == draft.params == analyze(found).to_dict()["totals"]["params"]
    assert len(found.nodes) == draft.layers
    assert len(set(names(found))) == len(found.nodes)


@settings(quick, max_examples=40)
@given(nets())
def test_the_same_text_gives_the_same_graph(drawn):
    first, second = graph(drawn[0]), graph(drawn[0])
    assert names(first) == names(second)
    assert [p.name for p in first.parameters()] == [p.name for p in second.parameters()]
    assert analyze(first).to_dict() == analyze(second).to_dict()


@settings(quick, max_examples=40)
@given(nets())
def test_symbolic_sizes_change_nothing_at_their_defaults(drawn):
    text, _ = drawn
    fixed, symbolic = graph(text), graph(text.replace("x[3, 16, 16]", "x[3, H = 16, W = 16]"))
    assert ops(fixed) == ops(symbolic)
    assert [tuple(map(int, n.output.shape)) for n in symbolic.nodes] == [n.output.shape for n in fixed.nodes]


@settings(quick, max_examples=60)
@given(st.text(alphabet="0123456789.eEkMG_+-", min_size=1, max_size=12))
def test_numbers_are_read_or_refused(text):
    try:
        parse_expression(Source("test", text))
    except SourceError as error:
        assert error.diagnostics


def test_the_generator_makes_what_it_is_meant_to():
    assert len(elaborated(body("y = x -> residual(3)", before=RESIDUAL)).graph.nodes) == 4
