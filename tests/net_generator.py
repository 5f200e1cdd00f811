"""Random files that the grammar accepts, with comments, odd spacing and line breaks wherever they may stand.

They mean nothing: names are unbound and shapes nonsense. `NetGenerator(random).file()` makes one from any source of
random numbers; `net_files()` is the strategy for hypothesis.
"""


from hypothesis import strategies as st

Tokens = list[str]

#: where a statement ends: at least one line break
END = "\n"
#: inside braces, before the first statement and behind the last: a line break if any
MAYBE_END = "maybe \n"

_NAMES = "a b x y image node conv relu int syntax a_rather_long_name_of_something W2 _".split()
_NUMBERS = ["0", "1", "32", "0.5", ".5", "1e-3", "10k", "1_000", "2.5M", "123456789012345678901234567890"]
_STRINGS = ['"same"', "'same'", "'a \"b\"'", '"it\'s # none"', '""', '"{ -> }"', '"ä"']
_COMMENTS = ["#", "# why", "#why", "# a -> b {", '# "quoted', "#! x", "# ünïcödé", "# " + "long " * 30, "# \ttab \t"]
_COMPARATORS = ["<", ">", "<=", ">=", "==", "!=", "~", "in"]


def net_files():
    return st.randoms(use_true_random=False).map(lambda random: NetGenerator(random).file())


class NetGenerator:
    def __init__(self, random):
        self.random = random

    def file(self):
        tokens = self._version() if self.random.random() < 0.2 else []
        for _ in range(self.random.choice([0, 1, 1, 2, 2, 3])):
            if tokens:
                tokens.append(END)
            tokens += self._one_of(self._import, self._function, self._function, self._train, self._assign)
        return _Spacing(self.random).spread(tokens)

    # declarations

    def _version(self):
        return ["syntax", "1"]

    def _import(self):
        module = self._separated(lambda: [self._name()], ".", 1, 3)
        origin = module if self.random.random() < 0.5 else [self.random.choice(_STRINGS)]
        names = self._separated(self._imported, ",", 1, 4)
        if self.random.random() < 0.5:
            names = ["(", *names, *self._comma(), ")"]
        return ["from", *origin, "import", *names]

    def _imported(self):
        return [self._name()] if self.random.random() < 0.7 else [self._name(), "as", self._name()]

    def _function(self):
        head = [self.random.choice(["net", "block"]), self._name()]
        if self.random.random() < 0.7:
            inside = self._separated(self._hyperparameter, ",", 0, 4)
            head += ["(", *inside, *(self._comma() if inside else []), ")"]
        inputs = self._separated(self._input, ",", 0, 3)
        outputs = self._separated(self._output, ",", 1, 3)
        return [*head, ":", *inputs, "->", *outputs, *self._body(2)]

    def _hyperparameter(self):
        return [self._name()] if self.random.random() < 0.4 else [self._name(), "=", *self._expression(2)]

    def _input(self):
        tokens = ["int", "tokens"] if self.random.random() < 0.2 else [self._name()]
        if self.random.random() < 0.6:
            tokens += ["[", *self._separated(self._dimension, ",", 1, 3), "]"]
        return tokens

    def _dimension(self):
        return self._expression(1) if self.random.random() < 0.7 else [self._name(), "=", *self._expression(1)]

    def _output(self):
        return [self._name(), *(["[", self._name(), "]"] if self.random.random() < 0.2 else [])]

    def _train(self):
        name = [self._name()] if self.random.random() < 0.7 else []
        return ["train", *name, *self._body(1)]

    # statements

    def _body(self, depth):
        statements = self._separated(lambda: self._statement(depth), END, 0, 3 if depth else 1)
        return ["{", MAYBE_END, *statements, *([MAYBE_END] if statements else []), "}"]

    def _statement(self, depth):
        blocks = [self._for, self._if] if depth else []
        return self._one_of(
            self._assign, self._assign, self._assign, self._share, self._expect,
            *[lambda block=block: block(depth - 1) for block in blocks],
        )  # fmt: skip

    def _assign(self):
        targets = self._separated(self._target, ",", 1, 1 if self.random.random() < 0.8 else 3)
        values = self._separated(lambda: self._expression(2), ",", 1, 1 if self.random.random() < 0.9 else 3)
        return [*targets, "=", *values]

    def _target(self):
        return [self._name()] if self.random.random() < 0.7 else [self._name(), *self._subscripts(1)]

    def _share(self):
        return ["share", self._name(), "=", *self._expression(2)]

    def _expect(self):
        return ["expect", *self._expression(2)]

    def _for(self, depth):
        return ["for", *self._names(), "in", *self._expression(2), *self._body(depth)]

    def _if(self, depth):
        tokens = ["if", *self._expression(2), *self._body(depth)]
        for _ in range(self.random.randint(0, 2)):
            tokens += ["else", "if", *self._expression(2), *self._body(depth)]
        return tokens + (["else", *self._body(depth)] if self.random.random() < 0.5 else [])

    # expressions, loosest first

    def _expression(self, depth):
        if depth > 0 and self.random.random() < 0.15:
            return [*self._pipeline(depth), "if", *self._or(depth - 1), "else", *self._expression(depth - 1)]
        return self._pipeline(depth)

    def _pipeline(self, depth):
        return self._separated(lambda: self._or(depth), "->", 1, 5 if depth > 1 and self.random.random() < 0.5 else 1)

    def _or(self, depth):
        """An expression of operators; parentheses where precedence asks for them are the operands' own."""
        tokens = self._operand(depth)
        for _ in range(self.random.choice([0, 0, 0, 1, 2]) if depth else 0):
            tokens += [self._operator(), *self._operand(depth - 1)]
        return tokens

    def _operator(self):
        return self.random.choice(["or", "and", "+", "-", "*", "/", "//", "%", self.random.choice(_COMPARATORS)])

    def _operand(self, depth):
        tokens = self._postfix(depth)
        if self.random.random() < 0.1:
            tokens += ["**", *(["-"] if self.random.random() < 0.3 else []), *self._postfix(0)]
        return ["-", *tokens] if self.random.random() < 0.1 else tokens

    def _postfix(self, depth):
        tokens = self._atom(depth)
        for _ in range(self.random.choice([0, 0, 1, 1, 2]) if depth else 0):
            tokens += self._one_of(
                lambda: self._arguments(depth - 1), lambda: self._arguments(depth - 1), lambda: self._subscripts(depth - 1),
                lambda: [".", self._name()], lambda: ["?"], lambda: ["@", self._name()],
            )  # fmt: skip
        return tokens

    def _arguments(self, depth):
        some = self._separated(lambda: self._expression(depth), ",", 0, 3)
        named = self._separated(lambda: [self._name(), "=", *self._expression(depth)], ",", 0, 2)
        inside = [*some, *([","] if some and named else []), *named]
        return ["(", *inside, *(self._comma() if inside else []), ")"]

    def _subscripts(self, depth):
        return ["[", *self._separated(lambda: self._subscript(depth), ",", 1, 2), "]"]

    def _subscript(self, depth):
        if self.random.random() < 0.6:
            return self._expression(depth)
        tokens = []
        for _ in range(self.random.randint(2, 3)):
            tokens += [":", *(self._expression(depth) if self.random.random() < 0.6 else [])]
        return tokens[1:]

    def _atom(self, depth):
        simple = [lambda: [self._name()]] * 4 + [
            lambda: [self.random.choice(_NUMBERS)],
            lambda: [self.random.choice(_STRINGS)],
            lambda: [self.random.choice(["true", "false", "none"])],
        ]
        nested = [self._list, self._comprehension, self._tuple, self._parenthesised] if depth else []
        return self._one_of(*simple, *[lambda make=make: make(depth - 1) for make in nested])

    def _list(self, depth):
        inside = self._separated(lambda: self._expression(depth), ",", 0, 6)
        return ["[", *inside, *(self._comma() if inside else []), "]"]

    def _comprehension(self, depth):
        condition = ["if", *self._or(depth)] if self.random.random() < 0.4 else []
        return ["[", *self._expression(depth), "for", *self._names(), "in", *self._or(depth), *condition, "]"]

    def _tuple(self, depth):
        inside = self._separated(lambda: self._expression(depth), ",", 1, 3)
        comma = self._comma() if inside.count(",") else [","]
        return ["(", *inside, *(comma if inside[-1:] != [","] else []), ")"]

    def _parenthesised(self, depth):
        return ["(", *(["not"] if self.random.random() < 0.2 else []), *self._or(depth), ")"]

    # pieces

    def _name(self):
        return self.random.choice(_NAMES)

    def _names(self):
        return self._separated(lambda: [self._name()], ",", 1, 2)

    def _comma(self):
        return [","] if self.random.random() < 0.4 else []

    def _separated(self, make, separator, least, most):
        tokens = []
        for _ in range(self.random.randint(least, most)):
            tokens += [separator] if tokens else []
            tokens += make()
        return tokens

    def _one_of(self, *makers):
        return self.random.choice(makers)()


class _Spacing:
    """Puts tokens on lines."""

    def __init__(self, random):
        self.random = random
        #: how often there is more than a space
        self.wild = random.choice([0.02, 0.2, 0.6])
        self.line_break = random.choice(["\n", "\n", "\r\n"])

    def spread(self, tokens):
        text = self._lines(0) if self._often() else ""
        still_open = []
        before = ""
        for token in tokens:
            if token in (END, MAYBE_END):
                text += self._lines(1 if token == END or self.random.random() < 0.7 else 0)
                before = ""
                continue
            inside = bool(still_open) and still_open[-1] != "{"
            free = inside or (token in ("->", "else") and before != "")
            text += self._gap(before, token, free) + token
            if token in "([{":
                still_open.append(token)
            elif token in ")]}":
                still_open.pop()
            before = token
        return text + self.random.choice(["", self.line_break, self._lines(1), f"  {self._comment()}"])

    def _often(self):
        return self.random.random() < self.wild

    def _comment(self):
        return self.random.choice(_COMMENTS)

    def _blank(self):
        return self.random.choice(["", " ", "    ", "\t"])

    def _lines(self, least):
        """Line breaks, with comments and blank lines among them."""
        text = ""
        for _ in range(least + (self.random.randint(0, 3) if self._often() else 0)):
            comment = self._comment() if self._often() else ""
            text += self._blank() + comment + self.line_break
        return text + self._blank()

    def _gap(self, before, token, free):
        needed = before[-1:].isalnum() or before[-1:] == "_"
        if free and self.random.random() < self.wild / 2:
            return self._lines(1)
        if self._often():
            gap = self.random.choice(["", " ", "   ", "\t"])
            return gap or (" " if needed and (token[0].isalnum() or token[0] in "_.") else "")
        return " " if needed and (token[0].isalnum() or token[0] == "_") else self.random.choice(["", " "])
