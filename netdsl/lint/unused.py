"""Names that nothing reads: imports, blocks, constants, local names, hyperparameters, inputs."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diagnostics import Label, Span
from netdsl.lint.rule import Finding, of_text
from netdsl.lint.survey import Binding, FunctionNames, Survey


@of_text("W0101", "unused-import", "a name that is imported and never used")
def unused_imports(survey: Survey) -> Iterator[Finding]:
    reads = survey.reads()
    for statement in survey.file.imports:
        idle = [imported for imported in statement.names if imported.alias not in reads]
        for imported in idle:
            whole = len(idle) == len(statement.names)
            helps = ("remove the import",) if whole else (f"remove `{imported.span.text}` from the import",)
            message = f"`{imported.alias}` is imported from {statement.path_span.text} and never used"
            yield Finding(message, (Label(imported.span),), helps=helps)


@of_text("W0102", "unused-block", "a block that no net of its file applies")
def unused_blocks(survey: Survey) -> Iterator[Finding]:
    if not survey.nets:
        return  # a file of blocks alone is there for others to import
    blocks = {f.declaration.name: f for f in survey.functions if f.declaration.kind == "block"}
    waiting = list(survey.trains.union(*(f.reads for f in survey.nets), *(names for _, names in survey.constants)))
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in blocks and name not in used:
            used.add(name)
            waiting += blocks[name].reads
    idle = {name: block for name, block in blocks.items() if name not in used and not name.startswith("_")}
    for name, block in idle.items():
        reader = next((other for other in idle if other != name and name in idle[other].reads), None)
        but = f" but by `{reader}`, which no net leads to" if reader else ""
        yield Finding(
            f"the block `{name}` is never applied{but}", (Label(block.declaration.name_span),),
            helps=("apply it, remove it, or move it to a file of blocks alone, from which others can import it",),
        )  # fmt: skip


@of_text("W0103", "unused-constant", "a constant that nothing in its file reads")
def unused_constants(survey: Survey) -> Iterator[Finding]:
    if not survey.nets:
        return
    reads = survey.reads()
    for constant, _ in survey.constants:
        for target in constant.targets:
            if target.name not in reads and not target.name.startswith("_"):
                yield Finding(f"the constant `{target.name}` is never read", (Label(target.span),),
                              helps=("use it, or remove it",))  # fmt: skip


@of_text("W0104", "unused-name", "a name, a family or a shared layer that is bound and never read")
def unused_names(survey: Survey) -> Iterator[Finding]:
    for function in survey.functions:
        for name in function.unread:
            yield _unused_name(name, function.bound[name])


def _unused_name(name: str, binding: Binding) -> Finding:
    message = {
        "name": f"`{name}` is bound and never read",
        "family": f"the family `{name}` is bound and never read",
        "share": f"the layer `{name}` is shared and never applied",
    }[binding.kind]
    way_out = "write `_` in its place" if binding.among_others else "remove it"
    return Finding(message, (Label(binding.span),), helps=(f"use it, or {way_out}",))


@of_text("W0105", "unused-hyperparameter", "a hyperparameter that its net or block never reads")
def unused_hyperparameters(survey: Survey) -> Iterator[Finding]:
    for function in _with_own_signature(survey):
        for hyperparameter in function.declaration.hyperparameters:
            yield from _unused_port("hyperparameter", hyperparameter.name, hyperparameter.span, function)


@of_text("W0106", "unused-input", "an input that its net or block never reads")
def unused_inputs(survey: Survey) -> Iterator[Finding]:
    for function in _with_own_signature(survey):
        for port in function.declaration.inputs:
            yield from _unused_port("input", port.name, port.span, function)


def _with_own_signature(survey: Survey) -> Iterator[FunctionNames]:
    """Not the blocks that are passed to others: those call them with the same arguments whether they need them or not."""
    return (f for f in survey.functions if f.declaration.kind == "net" or f.declaration.name not in survey.passed)


def _unused_port(what: str, name: str, span: Span, function: FunctionNames) -> Iterator[Finding]:
    if name not in function.reads and not name.startswith("_"):
        yield Finding(f"`{function.declaration.name}` never reads its {what} `{name}`", (Label(span),),
                      helps=("use it, or remove it",))  # fmt: skip
