"""The grammar: precedence, line breaks, numbers, statements; trees are compared as fully parenthesised text."""

from pathlib import Path
from time import process_time

import pytest

from netdsl.diagnostics import Source, SourceError
from netdsl.syntax import parse, parse_expression, parser
from netdsl.syntax import tree as t


def shown(node):
    """An expression with all its parentheses."""
    match node:
        case t.Name():
            return node.name
        case t.Literal():
            return repr(node.value)
        case t.ListExpr():
            return "[" + ", ".join(map(shown, node.items)) + "]"
        case t.TupleExpr():
            return "(" + ", ".join(map(shown, node.items)) + ",)"
        case t.Comprehension():
            names = ", ".join(n.name for n in node.names)
            condition = f" if {shown(node.condition)}" if node.condition is not None else ""
            return f"[{shown(node.item)} for {names} in {shown(node.iterable)}{condition}]"
        case t.Call():
            arguments = [*map(shown, node.arguments), *(f"{k.name}={shown(k.value)}" for k in node.keywords)]
            return f"{shown(node.function)}({', '.join(arguments)})"
        case t.Index():
            return f"{shown(node.base)}[{', '.join(map(_item, node.items))}]"
        case t.Attribute():
            return f"{shown(node.base)}.{node.name}"
        case t.Optional_():
            return f"{shown(node.base)}?"
        case t.Pin():
            return f"({shown(node.base)} @{node.name})"
        case t.Chain() | t.Comparison():
            text = shown(node.operands[0])
            for operator, operand in zip(node.operators, node.operands[1:], strict=True):
                text = f"{text} {operator} {shown(operand)}"
            return f"({text})"
        case t.Power():
            return f"({shown(node.base)} ** {shown(node.exponent)})"
        case t.Unary():
            return f"({node.operator} {shown(node.operand)})"
        case t.Boolean():
            return "(" + f" {node.operator} ".join(map(shown, node.operands)) + ")"
        case t.Conditional():
            return f"({shown(node.then)} if {shown(node.condition)} else {shown(node.otherwise)})"
        case t.Pipeline():
            return "(" + " -> ".join(map(shown, node.stages)) + ")"
    raise AssertionError(type(node))


def _item(node):
    if not isinstance(node, t.Slice):
        return shown(node)
    bounds = [node.start, node.stop] + ([node.step] if node.step is not None else [])
    return ":".join("" if bound is None else shown(bound) for bound in bounds)


def expression(text):
    return shown(parse_expression(Source("test", text)))


def statements(text):
    return parse(Source("test.net", f"net f : x[1] -> y {{\n{text}\n}}")).functions[0].body


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        # language.md, loosest first: if-else, ->, or, and, not, comparisons, + -, * / // %, unary -, **, postfix
        ("a if b else c -> d", "(a if b else (c -> d))"),
        ("a -> f if c else g -> h", "((a -> f) if c else (g -> h))"),
        ("a -> b or c", "(a -> (b or c))"),
        ("a or b and c", "(a or (b and c))"),
        ("not a and b", "((not a) and b)"),
        ("not a == b", "(not (a == b))"),
        ("a + b < c * d", "((a + b) < (c * d))"),
        ("1 < x <= 3 != y", "(1 < x <= 3 != y)"),
        ("params ~ 273k or n != 3", "((params ~ 273000) or (n != 3))"),
        ("a - b + c", "(a - b + c)"),
        ("a + b * c // d % e", "(a + (b * c // d % e))"),
        ("-a * b", "((- a) * b)"),
        ("-a ** b", "(- (a ** b))"),
        ("a ** -b", "(a ** (- b))"),
        ("a ** b ** c", "(a ** (b ** c))"),
        ("2 * conv -> bn", "((2 * conv) -> bn)"),
        ("2 * (conv -> bn)", "(2 * (conv -> bn))"),
        ("2 * conv(3) @c", "(2 * (conv(3) @c))"),
        ("main + skip -> relu", "((main + skip) -> relu)"),
        ("node[l - 1, s]? -> conv", "(node[(l - 1), s]? -> conv)"),
        ("a if b else c if d else e", "(a if b else (c if d else e))"),
        ("x.shape[0] ** 2", "(x.shape[0] ** 2)"),
        ("f(1)(2)[3].a", "f(1)(2)[3].a"),
        ("a in [1, 2]", "(a in [1, 2])"),
        ("conv(3, stride = 2, pad = 0)", "conv(3, stride=2, pad=0)"),
        ("(a, b) -> f", "((a, b,) -> f)"),
        ("(a,)", "(a,)"),
        ("(a)", "a"),
        ("[]", "[]"),
        ("[a, b,]", "[a, b]"),
        ("f(a, b,)", "f(a, b)"),
        ("[i * 2 for i in range(3)]", "[(i * 2) for i in range(3)]"),
        ("[a + b for a, b in c if a > b]", "[(a + b) for a, b in c if (a > b)]"),
        ("feat[:l, s]", "feat[:l, s]"),
        ("a[1:2]", "a[1:2]"),
        ("a[::2]", "a[::2]"),
        ("a[:]", "a[:]"),
        ("int(3)", "int(3)"),
    ],
)  # fmt: skip
def test_precedence(text, tree):
    assert expression(text) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("1_000", 1000), ("273k", 273_000), ("1.5k", 1500), ("0.27M", 270_000), ("2G", 2 * 10**9),
        ("1T", 10**12), ("1e-4", 1e-4), ("1.5", 1.5), (".5", 0.5), ("1E3", 1000.0), ("0.0001k", 0.1), ("1e2k", 100_000),
        ('"a"', "a"), ("'b c'", "b c"), ("true", True), ("false", False), ("none", None),
    ],
)  # fmt: skip
def test_literals(text, value):
    node = parse_expression(Source("test", text))
    assert isinstance(node, t.Literal)
    assert node.value == value
    assert type(node.value) is type(value)


def test_a_pipeline_breaks_before_arrows_with_comments_and_blank_lines_between():
    text = "y = x -> a   # one\n\n   # two\n\n      -> b\n  -> c  # three\nz = y"
    first, second = statements(text)
    assert isinstance(first, t.Assign)
    assert shown(first.value) == "(x -> a -> b -> c)"
    assert isinstance(second, t.Assign)


def test_newlines_are_dropped_inside_brackets():
    (only,) = statements("y = f(\n  a,  # one\n\n  b[\n0\n],\n)")
    assert isinstance(only, t.Assign)
    assert shown(only.value) == "f(a, b[0])"


def test_newlines_end_statements_inside_braces_inside_brackets_or_not():
    (loop,) = statements("for i in [1,\n2] {\n a = 1\n b = 2\n}")
    assert isinstance(loop, t.For)
    assert len(loop.body) == 2


def test_one_line_braces():
    loop, choice, empty = statements(
        "for i in a { y = x }\nif a { y = 1 } else if b { y = 2 } else { y = 3 }\nfor i in a { }"
    )
    assert isinstance(loop, t.For)
    assert isinstance(choice, t.If)
    assert (len(choice.branches), len(choice.otherwise)) == (2, 1)
    assert isinstance(empty, t.For)
    assert empty.body == []


def test_else_may_start_a_line():
    (choice,) = statements("if a {\n y = 1\n}\n# why\nelse if b {\n y = 2\n}\nelse {\n y = 3\n}")
    assert isinstance(choice, t.If)
    assert (len(choice.branches), len(choice.otherwise)) == (2, 1)


def test_targets():
    (only,) = statements("a, node[i, 0], _ = f")
    assert isinstance(only, t.Assign)
    assert [type(target) for target in only.targets] == [t.Name, t.FamilyEntry, t.Name]
    (swapped,) = statements("a, b = b, a")
    assert isinstance(swapped, t.Assign)
    assert shown(swapped.value) == "(b, a,)"


@pytest.mark.parametrize(
    "header",
    ["net f : a[3] -> y", "net f() : a[3] -> y", "net f(n = 3, m) : a[3, H = 32], int b[4] -> y, z[k]",
     "block f : a -> y", "block f(n = [1, 2],) : a, b -> y, z"],
)  # fmt: skip
def test_signatures(header):
    (function,) = parse(Source("test.net", header + " { y = a }")).functions
    assert function.name == "f"
    assert function.outputs[0].name == "y"


def test_signature_parts():
    text = "net f(n = 3, m) : a[3, H = 32], int b[4], c -> y, z[k] { }"
    (function,) = parse(Source("test.net", text)).functions
    assert [(h.name, h.default is None) for h in function.hyperparameters] == [("n", False), ("m", True)]
    a, b, c = function.inputs
    assert [d.name for d in a.dimensions or []] == [None, "H"]
    assert (a.integer, b.integer) == (False, True)
    assert c.dimensions is None
    assert [(o.name, o.family) for o in function.outputs] == [("y", False), ("z", True)]


def test_int_is_a_type_before_a_name_and_a_function_elsewhere():
    (function,) = parse(Source("test.net", "net f : int int[3] -> y { y = int(3) }")).functions
    assert (function.inputs[0].integer, function.inputs[0].name) == (True, "int")


@pytest.mark.parametrize("value", ["int if a else int", "[int for a in b]", "int or int", "int in a and int"])
def test_int_is_no_type_before_a_word_of_the_language(value):
    assert len(parse(Source("test.net", f"A = {value}\nB = int")).constants) == 2


def test_a_file_has_constants_functions_and_train_blocks():
    file = parse(
        Source("test.net", "# c\nA = 1\n\nblock b : x -> y { }\nnet f : x[1] -> y { }\ntrain f { a = 1 }\ntrain { }")
    )
    assert [len(file.constants), len(file.functions), len(file.trains)] == [1, 2, 2]
    assert [train.net.name if train.net else None for train in file.trains] == ["f", None]


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment", "   \n\t# a\n  \n", "\ufeff".encode().decode("utf-8-sig")]
)
def test_an_empty_file_is_a_file(text):
    assert parse(Source("test.net", text)).functions == []


def test_line_ends_of_windows():
    file = parse(Source("test.net", "net f : x[1] -> y {\r\n  y = x\r\n    -> relu\r\n}\r\n"))
    assert len(file.functions[0].body) == 1


def test_every_node_has_the_span_of_its_text():
    text = "y = (a + b[1]) * f(c, d = -2) -> g @h if not p else [i for i in q]"
    source = Source("test.net", f"net f : x[1] -> y {{\n{text}\n}}")
    (only,) = parse(source).functions[0].body
    assert isinstance(only, t.Assign)
    assert only.span.text == text
    conditional = only.value
    assert isinstance(conditional, t.Conditional)
    assert conditional.condition.span.text == "not p"
    assert conditional.otherwise.span.text == "[i for i in q]"
    pipeline = conditional.then
    assert isinstance(pipeline, t.Pipeline)
    assert [stage.span.text for stage in pipeline.stages] == ["(a + b[1]) * f(c, d = -2)", "g @h"]


def test_a_tree_of_a_long_file_is_built_in_proportionate_time():
    text = body = "".join(f"  x{i} = a -> conv({i}, 3) -> relu\n" for i in range(3000))
    file = parse(Source("test.net", f"net f : a[1] -> y {{\n{text}}}"))
    assert len(file.functions[0].body) == body.count("\n")
    started = process_time()
    parse(Source("test.net", f"A = [{'1, ' * 60_000}]"))
    assert process_time() - started < 5  # it takes half a second; in quadratic time it took twenty


@pytest.mark.parametrize(
    ("text", "column"),
    [("net f : x[1] -> y { y = }", 25), ("net f : x[1] -> y { y = 1 2 }", 27), ("net f x[1] -> y { }", 7),
     ("net f : x[1] -> y { y = (1, }", 29), ("nett f : x[1] -> y { }", 1), ("net f : x[1] -> y { y = 3x }", 25),
     ("net f : x[1] -> y { y = 'abc }", 25), ("net f : x[1] -> y { y = $ }", 25),
     ("net for : x[1] -> y { }", 5), ("net f : x[1] -> y { y = f(a = 1, 2) }", 34)],
)  # fmt: skip
def test_a_syntax_error_is_placed(text, column):
    with pytest.raises(SourceError) as caught:
        parse(Source("test.net", text))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E0101"
    assert (diagnostic.labels[0].span.line, diagnostic.labels[0].span.column) == (1, column)


def test_a_file_of_many_errors_is_read_a_few_times(monkeypatch):
    """Also where errors are not told, since what was told of explains them: each reading takes time."""
    readings = []
    parse_once = parser._Parser.parse
    monkeypatch.setattr(parser._Parser, "parse", lambda self, *given: readings.append(1) or parse_once(self, *given))
    text = (Path(__file__).parent / "fuzz_seeds" / "outside-of-bodies-that-close-early.net").read_text()
    with pytest.raises(SourceError):
        parse(Source("test.net", text))
    assert 1 < len(readings) <= 20
