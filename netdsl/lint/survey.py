"""What the lints want to know of a file's text, gathered in one walk over its tree."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netdsl.diagnostics import Span
from netdsl.syntax import tree as t
from netdsl.syntax.walk import children


class Binding(NamedTuple):
    """The first place where a function binds a name; `kind` is `name`, `family` or `share`."""

    span: Span
    kind: str
    among_others: bool  # one of several targets: `a, b = ...`


class FunctionNames:
    """A net or block: what it binds, what it reads, and what it overwrites unread."""

    def __init__(self, declaration: t.Function) -> None:
        self.declaration = declaration
        self.bound: dict[str, Binding] = {}
        self.reads: set[str] = set()
        #: names that stand for tensors, as far as the text alone says so
        self.tensors = {port.name for port in declaration.inputs}
        self.conditionals: list[t.Conditional] = []
        #: a binding and the one that overwrites it, with no statement between that reads it
        self.overwritten: list[tuple[t.Name, t.Name]] = []

    @property
    def unread(self) -> Iterator[str]:
        """The names that are bound and never read, `_` and its like apart."""
        return (name for name in self.bound if name not in self.reads and not name.startswith("_"))


class Survey:
    """A file's names, pipelines and statements."""

    def __init__(self, file: t.File) -> None:
        self.file = file
        #: names that stand as values, so that what they mean is applied who knows where: arguments, defaults, items
        self.passed: set[str] = set()
        self.pipelines: list[t.Pipeline] = []
        self._conditionals: list[t.Conditional] = []
        #: statements that hold no others, in the order of the text
        self.statements: list[t.Assign | t.Share | t.Expect] = []
        self.constants = [(constant, self._names(constant.value)) for constant in file.constants]
        self.functions = [self._function(declaration) for declaration in file.functions]
        self.trains: set[str] = set()
        for train in file.trains:
            self._train(train)
        self.statements.sort(key=lambda statement: statement.span.start)
        self._starts = [statement.span.start for statement in self.statements]

    @property
    def nets(self) -> list[FunctionNames]:
        return [function for function in self.functions if function.declaration.kind == "net"]

    def reads(self) -> set[str]:
        """Every name that anything in the file reads."""
        return self.trains.union(*(f.reads for f in self.functions), *(names for _, names in self.constants))

    def statement(self, span: Span) -> t.Assign | t.Share | t.Expect | None:
        """The statement that a piece of the file's text stands in."""
        index = bisect_right(self._starts, span.start) - 1
        if index < 0 or span.source is not self.file.source or span.start >= self.statements[index].span.end:
            return None
        return self.statements[index]

    def _function(self, declaration: t.Function) -> FunctionNames:
        function = FunctionNames(declaration)
        self._conditionals = function.conditionals
        for hyperparameter in declaration.hyperparameters:
            if hyperparameter.default is not None:
                function.reads |= self._names(hyperparameter.default)
        for port in declaration.inputs:
            for dimension in port.dimensions or ():
                function.reads |= self._names(dimension.value)
        function.reads |= self._run(declaration.body, function)
        function.reads |= {port.name for port in declaration.outputs}
        return function

    def _train(self, train: t.Train) -> None:
        """A train block sees the names of its net."""
        own = FunctionNames(t.Function(train.span, "train", "", train.span, [], [], [], train.body))
        names = self._run(train.body, own)
        self.trains |= names
        for function in self.nets:
            if train.net is None or train.net.name == function.declaration.name:
                function.reads |= names

    def _run(self, statements: Iterable[t.Statement], function: FunctionNames) -> set[str]:
        """The names that the statements read; what they bind goes to the function."""
        read: set[str] = set()
        pending: dict[str, t.Name] = {}
        for statement in statements:
            now = self._read_by(statement, function)
            read |= now
            for name in now & pending.keys():
                del pending[name]
            for target in statement.targets if isinstance(statement, t.Assign) else ():
                if isinstance(target, t.Name):
                    if target.name in pending:
                        function.overwritten.append((pending[target.name], target))
                    pending[target.name] = target
        return read

    def _read_by(self, statement: t.Statement, function: FunctionNames) -> set[str]:
        if isinstance(statement, t.For):
            return self._names(statement.iterable) | self._run(statement.body, function)
        if isinstance(statement, t.If):
            names = self._run(statement.otherwise, function)
            for condition, body in statement.branches:
                names |= self._names(condition) | self._run(body, function)
            return names
        self.statements.append(statement)
        if isinstance(statement, t.Expect):
            return self._names(statement.condition)
        if isinstance(statement, t.Share):
            function.bound.setdefault(statement.name, Binding(statement.span, "share", False))
            return self._names(statement.value)
        names = self._names(statement.value)
        tensor = is_tensor(statement.value, function.tensors)
        for target in statement.targets:
            if isinstance(target, t.FamilyEntry):
                names |= self._names(*target.keys)
            elif tensor:
                function.tensors.add(target.name)
            kind = "family" if isinstance(target, t.FamilyEntry) else "name"
            function.bound.setdefault(target.name, Binding(target.span, kind, len(statement.targets) > 1))
        return names

    def _names(self, *expressions: t.Expr | t.Slice) -> set[str]:
        """The names that expressions read. Most of a survey's time is spent here."""
        found: set[str] = set()
        stack: list[t.Node] = list(expressions)
        while stack:
            node = stack.pop()
            applied: list[t.Expr] = []
            if isinstance(node, t.Name):
                found.add(node.name)
                self.passed.add(node.name)
            elif isinstance(node, t.Pipeline):
                self.pipelines.append(node)
                applied = node.stages
            elif isinstance(node, t.Call):
                stack += node.arguments
                stack += [keyword.value for keyword in node.keywords]
                applied = [node.function]
            elif isinstance(node, t.Pin):
                applied = [node.base]
            elif not isinstance(node, t.Literal):
                if isinstance(node, t.Conditional):
                    self._conditionals.append(node)
                stack += children(node)
            for part in applied:
                if isinstance(part, t.Name):
                    found.add(part.name)
                else:
                    stack.append(part)
        return found


def is_tensor(expression: t.Expr, tensors: set[str]) -> bool:
    """Whether an expression is a tensor for certain, where those names are."""
    match expression:
        case t.Name():
            return expression.name in tensors
        case t.Pipeline():
            return is_tensor(expression.stages[0], tensors)
        case t.Chain():
            return any(isinstance(operand, t.Name) and operand.name in tensors for operand in expression.operands)
        case t.Conditional():
            return is_tensor(expression.then, tensors)
    return False
