"""What losses and metrics share: functions of the train block that average over batch and positions to one number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from netdsl.ir.graph import Shape, TensorType
from netdsl.ops.operator import Operator, Rule, Site, show

if TYPE_CHECKING:
    from netdsl.ir.graph import Node
    from netdsl.ops.builder import Builder


class Range(NamedTuple):
    """The numbers that a target may hold: in words, for each element of an array, and what to do about others.

    `draw` makes an array of such of a numpy generator and a shape.
    """

    wants: str
    accepts: Callable[[Any], Any]
    help: str
    draw: Callable[[Any, Any], Any]


SHARES = Range("0 to 1", lambda x: (x >= 0) & (x <= 1), "scale the targets, a mask of 0 and 255 by 1 / 255",
               lambda generator, shape: generator.random(shape))  # fmt: skip
SIGNS = Range("-1 or +1", lambda x: (x == -1) | (x == 1), "turn targets of 0 and 1 into these by `2 * target - 1`",
              lambda generator, shape: 2 * generator.integers(0, 2, shape) - 1)  # fmt: skip


class Averaged(Operator):
    """A function of the train block: one number for the whole batch."""

    style = "loss"

    def infer(self, site: Site) -> tuple[TensorType, ...]:
        self.check_inputs(site)
        return (TensorType((), "float32", batched=False),)

    def reach(self, node: Node) -> None:
        return None


class Loss(Averaged):
    """One number out of tensors, one of which is usually a target."""

    arity = (2, 2)
    #: which of the inputs that is
    target: ClassVar[int] = 1
    #: the numbers that it may hold, where it holds no class labels; None: any
    targets: ClassVar[Range | None] = None
    #: the activation that it computes by itself, where its first input are logits
    activation: ClassVar[Literal["softmax", "sigmoid"] | None] = None

    def classes(self, node: Node) -> int | None:
        """How many classes a target of class labels may name; None: the loss takes no labels."""
        return None


class ValueLoss(Loss):
    """Two float tensors of one shape."""

    rules = (Rule("[...], [...] -> []"),)

    def check_inputs(self, site: Site) -> None:
        prediction, target = (value.type.dtype for value in site.inputs)
        if prediction == "float32" and target == "int64":
            site.fail("E0320", f"`{self.name}` compares with numbers, and {site.labels[1]} holds class labels",
                      helps=("declare numbers with `target = value(...)`",))  # fmt: skip
        super().check_inputs(site)
        check_one_shape(self, site)


def check_one_shape(loss: Loss, site: Site) -> None:
    """Reject first two inputs of different shapes."""
    a, b = (value.shape for value in site.inputs[:2])
    if not agree(loss, site, a, b):
        site.fail("E0316", f"`{loss.name}` compares tensors of one shape: {site.labels[0]} is {show(a)}, "
                  f"{site.labels[1]} {show(b)}")  # fmt: skip


def agree(loss: Loss, site: Site, a: Shape, b: Shape) -> bool:
    """Whether two shapes do, of the first input and another; what symbols decide is recorded."""
    why = f"{loss.name} of {' and '.join(site.labels)}"
    return len(a) == len(b) and all(site.same(x, y, why) for x, y in zip(a, b, strict=True))


def mean(b: Builder, x: str) -> str:
    """The mean of all elements, a scalar."""
    return b.op("ReduceMean", [x], keepdims=0)


def total(b: Builder, x: str) -> str:
    """The sum of all elements, a scalar."""
    return b.op("ReduceSum", [x], keepdims=0)
