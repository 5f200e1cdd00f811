"""Random nets that are well formed: blocks, loops, families, joins, conditions, symbolic sizes and train blocks."""

import re

_SAME = [
    "relu",
    "bn",
    "tanh",
    "sigmoid",
    "dropout(0.5)",
    "max_pool(3, stride = 1, pad = 1)",
    "relu -> bn",
    "0 * relu",
    "lrn",
    "lrn(3)",
    "l2_norm",
    "instance_norm",
    "layer_norm",
    "group_norm(1)",
    "softmax",
    "softmax(axis = 1)",
    "log_softmax",
    "gaussian_pool(3, stride = 1, pad = 1)",
    "lp_pool(3, stride = 1, pad = 1)",
    "lp_pool(1, p = 3)",
    "scale_shift",
    "feature_pool(1)",
    "avg_pool(3, stride = 1, pad = 1)",
    "conv(width, 1) -> gelu",
]
#: of layers that blocks cannot have, as their channels differ from those that flow through
_LAYERS = [
    "conv(2 * width, 1) -> maxout",
    'conv(2 * width, 3) -> feature_pool(2, mode = "l2")',
    "conv(width, 3, weight_norm = true)",
    "conv(width, 3, init = gaussian_kernel(1), trainable = false)",
    "conv(width, 3, init = sobel)",
    "conv(width, 5, init = log_kernel(1))",
    "conv(width, 3, init = prewitt)",
    "conv(width, 3, init = laplacian, bias = ones)",
    "locally_connected(width, 3, pad = 1)",
    "deconv(width, 3)",
    "conv(width, 2, bias = constant(0.5))",
    "deconv(width, 3, weight_norm = true)",
]
#: functions of maps [width, ...] that give maps of their shape
_FUNCTIONS = [
    "exp(-abs({a}))",
    "log({a} ** 2 + 1)",
    "sqrt(abs({a}))",
    "where({a} < {b}, {a}, 0.5 * {b})",
    "where(not {a} > 0, 1, {a})",
    "max({a}, 0.5)",
    "min({a}, {b})",
    "{a} - mean({a}, axis = channel)",
    "{a} * sum({b}, axis = 1)",
    "{a} / (abs({b}) + 1)",
    "concat(split({a}, {a}.channels))",
    "concat(split({a}, [1, {a}.width - 1], axis = width), axis = width) + {b}",
    "gather({a}, [0] * {a}.channels)",
    "(gather({a}, [-1, 0], axis = 1) -> upsample(2, mode = {mode}), {a}) -> resize_like({mode})",
    "slice({a}, 0, {a}.channels)",
    "{a} + slice({b}, -1, none)",
    "{a} * param([])",
    "{a} + param([width])",
    "{a} * constant([0.5] * width)",
    "concat({a}, coordinates({a})) -> conv(width, 1)",
    "{a} + sum(coordinates({b}), axis = channel)",
    "{a} + param({a}.shape, init = gaussian(1))",
    "{a} + {b} * 0.5 ** {a}",
    "({a} -> adaptive_avg_pool(3), {a}) -> resize_like({mode})",
    '({a} -> adaptive_max_pool(2), {b}) -> resize_like(mode = "nearest")',
    "({a} -> resize(5, {mode}), {a}) -> resize_like({mode})",
    "{a} * zeros_like({b})",
    "reshape(matmul(param([width, width]), reshape({a}, [width, -1])), {a}.shape)",
    "{a} + max({b}, axis = [channel, 1])",
    "{a} * reshape({b} -> global_avg_pool, [width] + [1] * ({a}.rank - 1))",
]
#: what a train block may have: targets, the loss, metrics
_LOSSES = [
    ("class(label)", "cross_entropy(y, label)", "accuracy(y, label)"),
    ("class(label)", "cross_entropy(y, label, weights = [1, 2, 0.5])", "accuracy(y, label, k = 2)"),
    (
        "class(label)",
        "cross_entropy(y, label, balance = true) + 0.5 * multiclass_hinge(y, label)",
        "accuracy(y, label)",
    ),
    ("value(truth, [3])", "smooth_l1(y, truth, beta = 0.5)", "mean_squared_error(y, truth)"),
    (
        "value(truth, [3])",
        "mean_absolute_error(y, truth) + batch_mean(sqrt(sum((y - truth) ** 2, axis = 0)))",
        "batch_mean(abs(y - truth)) @error",
    ),
    (
        "value(truth, [3])",
        "binary_cross_entropy(y, truth, balance = true) + dice(reshape(y, [1, 3]), reshape(truth, [1, 3]))",
        "binary_cross_entropy(y, truth)",
    ),
    ("value(truth, [3])", "hinge(y, truth) + 2 * perceptron(y, truth)", "mean_squared_error(y, truth)"),
]
_TRAIN = """train f {
    target = TARGET
    loss = LOSS
    metrics = METRIC
    optimizer = OPTIMIZER
    batch = 4
    epochs = 1
    prepare = [scale(1 / 255)]
}"""


class NetWriter:
    """`NetWriter(random).file()` makes one from any source of random numbers."""

    def __init__(self, random):
        self.random = random
        self.lines = []
        self.names = 0

    def file(self):
        """Maps of one width flow through statements that keep their size, and are strided now and then."""
        self.axes = self.random.choice((1, 2, 2, 2, 3))
        self.maps = ["x"]
        named = self.random.random() < 0.5
        sizes = [f"{name} = {self._size()}" if named else str(self._size()) for name in "DHW"[-self.axes :]]
        self.lines = [f"net f(n = {self.random.randrange(3)}, width = {self.random.choice((1, 2, 4))}) : "
                      f"image[{self.random.choice((1, 3))}, {', '.join(sizes)}] -> y {{",
                      f"    x = image -> conv(width, {self.random.choice((1, 3, 5))})"]  # fmt: skip
        for _ in range(self.random.randrange(1, 9)):
            self.lines += ["    " + line for line in self._statement()]
        self.lines.append(f"    y = {self._end()}")
        if self.random.random() < 0.3:
            self.lines += ["    expect params < 1G", "    expect receptive_field(x) == receptive_field(x)"]
        return "\n".join([*self._blocks(), *self.lines, "}", *self._train(), ""])

    def _size(self):
        return self.random.choice((4, 6, 7, 8, 9, 16))

    def _blocks(self):
        inside = " -> ".join(self._layer() for _ in range(self.random.randrange(1, 4))).replace("width", "c")
        return ["block twice(layer) : x -> y { y = x -> layer -> layer }",
                f"block wide(c) : x -> y {{\n    skip = x -> {inside}\n    y = x + skip\n}}",
                "block deep(k, c) : x -> y {\n    y = x if k <= 0 else x -> conv(c, 3) -> deep(k - 1, c)\n}"]  # fmt: skip

    def _layer(self):
        conv = f"conv(width, {self.random.choice((1, 2, 3))}, dilation = {self.random.choice((1, 2))})"
        return self.random.choice((conv, conv, "conv(width, 3, groups = width)", *_SAME))

    def _tensor(self):
        return self.random.choice(self.maps)

    def _new(self):
        self.names += 1
        self.maps.append(f"t{self.names}")
        return self.maps[-1]

    def _statement(self):
        """Statements that bind a new tensor, or `x`; all have the size of `x`."""
        a, b = self._tensor(), self._tensor()
        kind = self.random.randrange(14)
        if kind == 0:
            layer = self._layer()
            return [f"{self._new()} = {a} -> {layer}{self.random.choice(('', f' @p{self.names}'))}"]
        if kind == 1:
            return [f"{self._new()} = {a} {self.random.choice('+-*')} {b} -> {self._layer()}"]
        if kind == 2:
            return [f"{self._new()} = concat({a}, {b}, {a}) -> conv(width, 1)"]
        if kind == 3:
            call = self.random.choice(
                ("twice(conv(width, 3))", "wide(width)", "deep(n, width)", "(n + 1) * relu", "n * conv(width, 3)")
            )
            return [f"{self._new()} = {a} -> {call}"]
        if kind == 4:
            return ["for i in range(n) {", f"    x = x -> {self._layer()}", "}"]
        if kind == 5:
            name = f"v{self.names}"
            made = [
                f"{name}[0] = {a}",
                f"for i in range(1, 4) {{ {name}[i] = sum({name}[i - 1], {name}[i - 2]? -> {self._layer()}) }}",
            ]
            return [*made, f"{self._new()} = {self.random.choice(('sum', 'mean', 'max'))}({name}[:])"]
        if kind == 6:
            name = f"s{self.names}"
            return [f"share {name} = conv(width, 3) -> bn", f"{self._new()} = ({a} -> {name}) + ({b} -> {name})"]
        if kind == 7:
            return [f"if n > 1 {{ x = x -> {self._layer()} }} else {{ x = {a} }}"]
        if kind == 8:
            return [f"{self._new()} = {a} -> {self.random.choice(_LAYERS)}"]
        if kind == 9:
            window = self.random.choice(("2", "3, stride = 2", "3, stride = 1"))
            pooled = f"small, places = {a} -> max_pool({window}, indices = true)"
            return [pooled, f"{self._new()} = (small, places, {a}) -> unpool({window})"]
        if kind < 13:
            mode = ('"linear"', '"bilinear"', '"nearest"')[self.axes - 1]
            return [f"{self._new()} = {self.random.choice(_FUNCTIONS).format(a=a, b=b, mode=mode)}"]
        down = self.random.choice(
            ("max_pool(2, ceil = true)", "conv(width, 3, stride = 2)", "avg_pool(2, stride = 2, pad = 1)")
        )
        up = f"({a} -> {down} -> upsample(2), {a}) -> crop_like"
        return [f"{self._new()} = {up}" if "ceil" in down or "conv" in down else f"t = {a} -> {down}"]

    def _end(self):
        whole = (
            "x -> flatten -> dense(3)",
            "x -> adaptive_avg_pool(2) -> flatten -> dense(3, drop_connect = 0.5)",
            "concat(x -> global_avg_pool, x -> global_max_pool) -> dense(3)",
        )
        return self.random.choice(whole)

    def _train(self):
        if self.random.random() < 0.5:
            return []
        optimizer = self.random.choice(("sgd(lr = 0.1)", "adam(lr = cosine(0.1))"))
        target, loss, metric = self.random.choice(_LOSSES)
        words = {"TARGET": target, "LOSS": loss, "METRIC": metric, "OPTIMIZER": optimizer}
        return [re.sub("|".join(words), lambda found: words[found[0]], _TRAIN)]
