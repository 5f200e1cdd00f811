"""Texts to fuzz with: the project's own files, and mutations of them that know the tokens of the language."""

import re
from functools import cache
from pathlib import Path

from netdsl.diagnostics import catalogue
from netdsl.elaborate.names import globals_
from netdsl.ops import OPERATORS

ROOT = Path(__file__).resolve().parent.parent
SEEDS = ROOT / "tests" / "fuzz_seeds"
LONGEST = 20_000

_TOKEN = re.compile(
    r"""[A-Za-z_]\w*|\d[\w.]*|"[^"\n]*"|'[^'\n]*'|\#[^\n]*|->|//|\*\*|[<>=!]=|[ \t]*\n\s*|[ \t]+|.""", re.DOTALL
)
_WORDS = """syntax from import as net block train share for in if else expect or and not true false none int std
    shape channels height width depth rank params macs flops receptive_field axis x y image logits n i
    target loss metrics optimizer batch epochs prepare augment class value sgd adam adamw step cosine label""".split()
_MARKS = "-> : , . = ( ) [ ] { } < > <= >= == != ~ + - * / // % ** ? @ # \" ' _ ;".split()
_NUMBERS = """0 1 -1 2 3 0.5 0.0 -0.5 1e-400 1e308 1e999 2147483647 2**31 (2**63-1) 10**100 1k 3M 1_0 00 1.
    999999999999999999 1/3 0/0 true none [] [1,2] "same" """.split()
_ODD = ["\0", "\r", "\r\n", "\t", "\f", "\v", "\u2028", "\u00a0", "\ufeff", "é", "画", "\U0001f600", "\u0301", "\u202e", "\x1b[31m",
        "\\", "`", "$", "&", "|", "!", "...", ":=", "²", "%0A", "::error::"]  # fmt: skip
#: what may stand in an import: files that the checks lay beside the fuzzed one, those that cannot be, and odd paths
_PATHS = [
    "",
    "a\0.net",
    "x" * 5000 + ".net",
    *"""main.net blocks.net ./blocks.net folder/../blocks.net folder/inner.net
    circle.net wrong.net binary.net loop.net pipe.net folder folder.net /blocks.net ../blocks.net none.net .net ~/a.net
    a\\b.net %s.net 画.net blocks.net/ BLOCKS.NET""".split(),
]
_FRAGMENTS = [
    f"{line}\n"
    for line in """
x = x -> relu
y = x -> conv(8, 3)
for i in range(3) {
if n == 0 {
}
} else {
share s = conv(4, 3)
-> bn -> relu
 @name
node[i, 0]?
node[:, 0]
[i for i in range(4) if i]
a if b else c
expect params < 20k
lambda
# noqa: W0201
# noqa
concat(x, x, axis = width)
sum([x, x])
H = 32
W = 0
int label[1]
3 * (conv(4, 3) -> bn)
p, q = x -> max_pool(2, indices = true)
a, b = split(x, 2)
x = x * param([]) + constant([1]) - sum(coordinates(x), axis = [0])
x = where(0 < x < 1, x, exp(-abs(x)) ** 2)
x = gather(x, [-1, 0, 0], axis = width)
x = (slice(x, 1, none, axis = height) -> adaptive_max_pool(3), x) -> resize_like("nearest")
loss = batch_mean(sqrt(sum((y - t) ** 2, axis = channel)))
loss = cross_entropy(y, label, weights = [1, 2])
target = class(label), value(t, [4])
from std.residual import basic
from std.unet import *
from std. import a
syntax 1
syntax 99
block b(n) : x -> y { y = x -> b(n - 1) if n else x }
net g : x[3, H = 8, W = 8] -> y[k] { y[0] = x }
train { loss = 1 }
""".strip().split("\n")
]


@cache
def corpus():
    """All .net files of the project, broken ones of the snapshots, and the examples of pages and operators."""
    files = [
        path for folder in ("examples", "netdsl/std", "tests/fuzz_seeds") for path in (ROOT / folder).rglob("*.net")
    ]
    texts = [path.read_bytes().decode(errors="replace") for path in sorted(files)]
    texts += [path.read_text("utf-8").split("\n----\n")[0] for path in sorted((ROOT / "tests/snapshots").glob("*.txt"))]
    pages = [(ROOT / "docs/language.md").read_text("utf-8"), *map(catalogue.text, catalogue.codes())]
    for page in pages:
        texts += re.findall(r"```net[^\n]*\n(.*?)```", page, re.DOTALL)
    for op in OPERATORS.values():
        texts.append(f"net f : x[3, H = 16, W = 16] -> y {{\n    y = x -> {op.name}\n}}\n")
    return tuple(dict.fromkeys(text for text in texts if len(text) <= LONGEST))


def dictionary():
    """The tokens of the language, and names that it knows."""
    arguments = {argument.name for op in OPERATORS.values() for argument in op.arguments}
    return (*_WORDS, *_MARKS, *globals_(), *sorted(arguments), *_NUMBERS)


class Mutator:
    """Draws changed texts: the same from the same seed."""

    def __init__(self, random):
        self.random = random
        self.kinds = [
            self._delete, self._duplicate, self._swap, self._replace, self._insert, self._number, self._number, self._rename,
            self._rename, self._splice, self._lines, self._lines, self._nest, self._repeat, self._odd, self._import, self._group,
            self._function,
        ]  # fmt: skip

    def mutate(self, text):
        """The text with one change or a few."""
        tokens = _TOKEN.findall(text)
        for _ in range(self.random.choice((1, 1, 1, 1, 1, 2, 3, 6))):
            tokens = self.random.choice(self.kinds)(tokens)
        return "".join(tokens)[:LONGEST]

    # places

    def _at(self, tokens):
        return self.random.randrange(len(tokens) + 1)

    def _range(self, tokens):
        start = self._at(tokens)
        return start, min(len(tokens), start + self.random.choice((1, 1, 2, 3, 5, 10, 40)))

    def _where(self, tokens, fits):
        places = [i for i, token in enumerate(tokens) if fits(token)]
        return self.random.choice(places) if places else None

    def _other(self):
        return _TOKEN.findall(self.random.choice(corpus()))

    # changes

    def _delete(self, tokens):
        start, end = self._range(tokens)
        return tokens[:start] + tokens[end:]

    def _duplicate(self, tokens):
        start, end = self._range(tokens)
        return tokens[:end] + tokens[start:]

    def _swap(self, tokens):
        places = [i for i, token in enumerate(tokens) if not token.isspace()]
        if len(places) < 2:
            return tokens
        a = self.random.randrange(len(places) - 1)
        b = self.random.choice((a + 1, self.random.randrange(len(places))))
        tokens[places[a]], tokens[places[b]] = tokens[places[b]], tokens[places[a]]
        return tokens

    def _replace(self, tokens):
        start, end = self._range(tokens)
        return [*tokens[:start], self._drawn(), *tokens[end:]]

    def _insert(self, tokens):
        at = self._at(tokens)
        return [*tokens[:at], " ", self._drawn(), " ", *tokens[at:]]

    def _drawn(self):
        if self.random.random() < 0.3:
            return self.random.choice(_FRAGMENTS).rstrip(self.random.choice(("", "\n")))
        return self.random.choice(dictionary())

    def _number(self, tokens):
        at = self._where(tokens, lambda token: token[:1].isdigit())
        if at is not None:
            near = [str(self.random.randrange(12)), f"-{tokens[at]}", f"{tokens[at]}{tokens[at]}"]
            tokens[at] = self.random.choice(_NUMBERS) if self.random.random() < 0.6 else self.random.choice(near)
        return tokens

    def _rename(self, tokens):
        at = self._where(tokens, str.isidentifier)
        if at is not None:
            others = [token for token in tokens if token.isidentifier()]
            tokens[at] = self.random.choice(others if self.random.random() < 0.6 else dictionary())
        return tokens

    def _splice(self, tokens):
        other = self._other()
        start, end = self._range(other)
        at = self._at(tokens)
        return tokens[:at] + other[start:end] + tokens[at:]

    def _lines(self, tokens):
        """Move, drop or double a line, or take one of another file."""
        lines = "".join(tokens).split("\n")
        at, to = self.random.randrange(len(lines)), self.random.randrange(len(lines) + 1)
        kind = self.random.randrange(4)
        taken = self.random.choice(self.random.choice(corpus()).split("\n")) if kind == 3 else lines[at]
        if kind < 2:
            del lines[at]
        if kind:
            lines.insert(to, taken)
        return _TOKEN.findall("\n".join(lines))

    def _nest(self, tokens):
        start, end = self._range(tokens)
        left, right = self.random.choice((("(", ")"), ("[", "]"), ("{", "}"), ("not ", ""), ("-", ""), ("relu(", ")"),
                                          ("(x -> ", ")"), ("1 if n else ", ""), ("2 * (", ")"), ("{\n", "\n}")))  # fmt: skip
        depth = self.random.choice((1, 1, 2, 10, 60, 120, 1500))
        return [*tokens[:start], *[left] * depth, *tokens[start:end], *[right] * depth, *tokens[end:]]

    def _repeat(self, tokens):
        start, end = self._range(tokens)
        return tokens[:start] + tokens[start:end] * self.random.choice((2, 3, 20, 150, 1000)) + tokens[end:]

    def _odd(self, tokens):
        at = self._at(tokens)
        return [*tokens[:at], self.random.choice(_ODD), *tokens[at:]]

    def _import(self, tokens):
        names = ["b", "basic", "inner", *(token for token in tokens if token.isidentifier())]
        line = f'from "{self.random.choice(_PATHS)}" import {self.random.choice(names)}'
        if self.random.random() < 0.3:
            line += f" as {self.random.choice(names)}"
        return [line, "\n", *tokens]

    def _group(self, tokens):
        """Put a bracketed group of another file in the place of one of this."""
        opening = self.random.choice("([{")
        other = self._other()
        here, there = (self._where(of, lambda token: token == opening) for of in (tokens, other))
        if here is None or there is None:
            return tokens
        return tokens[:here] + other[there : _closed(other, there)] + tokens[_closed(tokens, here) :]

    def _function(self, tokens):
        """Put the declarations of another file before or behind."""
        other = self._other()
        return [*other, "\n", *tokens] if self.random.random() < 0.5 else [*tokens, "\n", *other]


def _closed(tokens, start):
    """Behind the bracket that closes the one at `start`."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += (tokens[at] in ("(", "[", "{")) - (tokens[at] in (")", "]", "}"))
        if depth <= 0:
            return at + 1
    return len(tokens)
