"""Nets of one application each: any operator, layer or loss, with tensors of any kind and arguments that are mostly wrong."""


from netdsl.ops import OPERATORS
from netdsl.ops.arguments import REQUIRED

_INPUTS = "x[4, H = 6, W = 6], z[4, 6, 6], v[4], s[3, T = 8], q[2, 4, 4, 4], n[5], int i[3], int m[H, W], r[4, 1, 1]"
_TENSORS = """x z v s q i m r n (x>0) (i>1) (x>z) (x,z) param([4]) param([]) param([4,6,6]) param([1,H,W]) param([4,4])
    constant([1,2,3,4]) coordinates(x) zeros_like(x) sum(x,axis=channel) split(x,2) max_pool""".split()
_VALUES = """0 -1 1 2 3 4 7 0.5 1.5 -2 2**31 2**62 -2**62 2147483647 10**300 1e999 (0*1e308*10) -1e308 1e-320 "" "same" "max"
    "nearest" [] [1] [1,2] [1,2,3] [0] [-1] [[1,2],[3]] [[1,2],[3,4]] [[[1]]] [[]] [none] [1]*10**5 [[1]*300]*300
    range(5) range(10**9)
    none true false relu conv(2,3) x z v i he uniform(1) constant(1) constant(1e38) bilinear sobel gaussian_kernel(1e9)
    gaussian_kernel(1e-9) gabor(1e-300) gabor(4,[0]*1000) log_kernel(1) identity_kernel signs H W T H*2 H//2 H-6 [H,W] [x] (x,x)
    channel height width depth [channel,height] [channel,channel] ["bias"] [["bias"]]""".split()
_TARGETS = ("class(t)", "class(t, [H, W])", "class(t, [6, 6], ignore = 255)", "value(t, [4])", "value(t, [4, H, W])",
            "class(t, VALUE)", "class(t, ignore = VALUE)", "value(t, [VALUE])")  # fmt: skip
_OPTIMIZERS = ("sgd(lr = 0.1)", "adam(lr = 0.1)", "sgd(lr = VALUE)", "adam(lr = step(VALUE, at = VALUE))",
               "rmsprop(lr = cosine(0.1, VALUE), decay = VALUE, no_decay = VALUE)")  # fmt: skip


class CallWriter:
    """`CallWriter(random).file()` makes one from any source of random numbers."""

    def __init__(self, random):
        self.random = random

    def file(self):
        op = self.random.choice(list(OPERATORS.values()))
        written = self._trained(op) if op.style == "loss" else self._applied(op)
        while "VALUE" in written:
            written = written.replace("VALUE", self.random.choice(_VALUES), 1)
        return written

    def _applied(self, op):
        call = self._layer(op) if op.style == "layer" else self._function(op)
        y = self.random.choice(("{}", "{}", "x + ({})", "({}) -> relu -> conv(2, 1)", "{} -> flatten", "sum({}, axis = 0)",
                                "({})[0]", "where({}, x, 1)", "concat({})", "{} ** VALUE"))  # fmt: skip
        expect = f"    expect {call} == VALUE\n" if self.random.random() < 0.1 else ""
        return f"net f : {_INPUTS} -> y {{\n    y = {y.format(call)}\n{expect}}}\n"

    def _trained(self, op):
        call = self._function(op).replace("z", "t").replace("tero", "zero")
        lines = {"target": self.random.choice(_TARGETS), "loss": call, "metrics": call,
                 "optimizer": self.random.choice(_OPTIMIZERS), "batch": self.random.choice(("4", "4", "VALUE")),
                 "epochs": "1"}  # fmt: skip
        block = "".join(f"    {key} = {value}\n" for key, value in lines.items())
        return f"net f : {_INPUTS} -> y {{\n    y = x -> conv(4, 3)\n}}\ntrain f {{\n{block}}}\n"

    def _layer(self, op):
        tensors = self._tensors(op)
        return f"({', '.join(tensors)}) -> {op.name}({', '.join(self._arguments(op))})"

    def _function(self, op):
        tensors = self._tensors(op)
        if op.symbol is not None:
            return f" {op.symbol} ".join(tensors) if len(tensors) > 1 else f"{op.symbol} {tensors[0]}"
        return f"{op.name}({', '.join([*tensors, *self._arguments(op)])})"

    def _tensors(self, op):
        least, most = op.arity
        few, many = max(1, least), max(1, most or 3)
        count = self.random.randint(few, many) if self.random.random() < 0.85 else self.random.randint(1, 4)
        if most == 0 and self.random.random() < 0.9:
            return []
        return [self.random.choice(_TENSORS) if self.random.random() < 0.9 else "VALUE" for _ in range(count)]

    def _arguments(self, op):
        """Most of what must be given, some of what may be, and now and then one too many."""
        given = [a for a in op.arguments if self.random.random() < (0.95 if a.default is REQUIRED else 0.3)]
        named = [f"{a.name} = {self.random.choice(('VALUE', 'VALUE', '1', '2', '3'))}" for a in given]
        return ["VALUE", *named] if self.random.random() < 0.05 else named
