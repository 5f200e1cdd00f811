"""docs/gradients.md, and that it says something of every operator."""

from pathlib import Path

from onnx import defs

from netdsl.autodiff import rules
from netdsl.autodiff.coverage import EXPANDED, OPSET, WITHOUT, document
from netdsl.autodiff.rule import STOPS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "gradients.md"


def test_the_page_is_current():
    assert PAGE.read_text() == document(), "write it anew: python -m netdsl.autodiff.coverage > docs/gradients.md"


def test_every_operator_that_computes_numbers_is_in_one_list():
    lists = [set(rules()), set(EXPANDED), set(STOPS), set(WITHOUT)]
    assert sum(map(len, lists)) == len(set().union(*lists))
    assert _computing_floats() <= set().union(*lists)


def _computing_floats():
    """ONNX's own operators, up to OPSET, that make floating-point numbers of such."""
    names = {schema.name for schema in defs.get_all_schemas_with_history() if schema.domain == ""}
    current = [defs.get_schema(name, OPSET) for name in names if defs.has(name, OPSET)]
    return {schema.name for schema in current if not schema.deprecated
            and any("tensor(float)" in formal.types for formal in schema.inputs)
            and any("tensor(float)" in formal.types for formal in schema.outputs)}  # fmt: skip
