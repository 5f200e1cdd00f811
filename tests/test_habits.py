"""What other frameworks and languages call things: what we point to must be there."""

from netdsl.elaborate import habits
from netdsl.elaborate.names import globals_, signs
from netdsl.ops import OPERATORS
from netdsl.ops.optimizers import OPTIMIZERS
from netdsl.syntax import habits as syntax_habits
from netdsl.syntax.errors import _KEYWORDS


def test_names_lead_to_operators():
    assert set(habits._NAMES.values()) <= set(globals_()) - set(signs())
    assert not set(habits._NAMES) & {name for name in OPERATORS if "_" not in name}


def test_arguments_lead_to_arguments():
    declared = [operator.arguments for operator in OPERATORS.values()] + list(OPTIMIZERS.values())
    assert set(habits._ARGUMENTS.values()) - {""} <= {argument.name for arguments in declared for argument in arguments}


def test_spellings_of_other_frameworks():
    known = globals_()
    for name, meant in (
        ("Conv2d", "conv"), ("Conv2D", "conv"), ("BatchNorm2d", "bn"), ("batch_norm", "bn"), ("MaxPool2d", "max_pool"),
        ("MaxPooling2D", "max_pool"), ("Linear", "dense"), ("ReLU", "relu"), ("ConvTranspose2d", "deconv"),
        ("Conv2DTranspose", "deconv"), ("Dropout", "dropout"), ("AdaptiveAvgPool2d", "adaptive_avg_pool"),
        ("LocalResponseNorm", "lrn"), ("MaxUnpool2d", "unpool"), ("InstanceNorm2d", "instance_norm"),
        ("LeakyReLU", "leaky_relu"), ("cat", "concat"), ("True", "true"),
    ):  # fmt: skip
        (found,) = habits.meant_name(name, known)
        assert f"`{meant}`" in found, name


def test_words_of_other_languages_are_none_of_this_one():
    assert not set(syntax_habits.WORDS) & _KEYWORDS
    assert not set(syntax_habits.WORDS) & set(globals_())
