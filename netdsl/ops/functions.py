"""The functions of numbers and lists, which are Python's; `netdsl.elaborate.calls` computes them."""

from __future__ import annotations

from typing import NamedTuple


class Function(NamedTuple):
    """`wants` completes the sentence "`len` takes ..."; `example` stands behind `y =`."""

    name: str
    signature: str
    wants: str
    doc: str
    example: str


_ALL = (
    Function("len", "len(list)", "a list", "the number of items of a list or family",
             "image[3, 32, 32] -> len([16, 32]) * conv(8, 3)"),
    Function("range", "range(stop), range(start, stop, step = 1)", "one to three whole numbers, the third not 0",
             "the whole numbers from `start`, 0 if not given, up to but without `stop`",
             "sum([image[3, 32, 32] -> conv(8, 3, dilation = 2 ** i) for i in range(3)])"),
    Function("reversed", "reversed(list)", "a list", "the items from the last to the first",
             "concat([image[3, 32, 32] -> conv(width, 3) for width in reversed([8, 16])])"),
    Function("enumerate", "enumerate(list)", "a list", "pairs of an index, counted from 0, and the item",
             "concat([image[3, 32, 32] -> conv(width, 2 * i + 1) for i, width in enumerate([8, 16])])"),
    Function("zip", "zip(list, ...)", "lists", "items of one index from each list, up to the end of the shortest",
             "concat([image[3, 32, 32] -> conv(width, kernel) for width, kernel in zip([8, 16], [1, 3])])"),
    Function("round", "round(number), round(number, decimals)", "a number, and perhaps the decimals",
             "the nearest whole number, the even one of two; or as many decimals",
             "image[3, 32, 32] -> conv(round(1.4 * 32), 3)"),
    Function("int", "int(number)", "a number", "the whole number that is left without the decimals",
             "image[3, 32, 32] -> conv(int(1.4 * 32), 3)"),
    Function("abs", "abs(number)", "a number", "the number without its sign",
             "image[3, 32, 32] -> conv(8 * abs(1 - 3), 3)"),
    Function("sqrt", "sqrt(number)", "a number of at least 0", "the square root",
             "image[3, 32, 32] / sqrt(3)"),
    Function("exp", "exp(number)", "a number, not too large", "e to the power of the number",
             "image[3, 32, 32] * exp(-1)"),
    Function("log", "log(number)", "a positive number", "the natural logarithm",
             "image[3, 32, 32] / log(10)"),
    Function("max", "max(number, ...)", "numbers", "the greatest of numbers, or of a list of them",
             "image[3, 32, 32] -> conv(max(8, 32 // 3), 3)"),
    Function("min", "min(number, ...)", "numbers", "the smallest of numbers, or of a list of them",
             "image[3, 32, 32] -> conv(min(8, 32 // 3), 3)"),
    Function("sum", "sum(number, ...)", "numbers", "the sum of numbers, or of a list of them",
             "image[3, 32, 32] -> conv(sum([8, 16, 32]), 3)"),
)  # fmt: skip

FUNCTIONS: dict[str, Function] = {function.name: function for function in _ALL}
