"""Files and what they declare: functions, constants, imports. Every file is read once and has names of its own."""

from __future__ import annotations

import os
from typing import Any

from netdsl.diagnostics import Diagnostic, Label, SourceError, Span, did_you_mean
from netdsl.elaborate.context import Context
from netdsl.elaborate.names import reserved
from netdsl.elaborate.sources import imported_source, std_names
from netdsl.elaborate.values import POISON, Declaration, Module, Place, Scope
from netdsl.syntax import parse
from netdsl.syntax import tree as t


class Modules:
    """Loads files. What is wrong with them is reported, and what they would have declared is poisoned."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self._loaded: dict[str, Module | None] = {}  # by identity; None: it has syntax errors
        self._loading: list[tuple[str, Span | None]] = []  # identities, and where each is imported

    def main(self, file: t.File) -> Module:
        """The file that was named."""
        self._loading.append((os.path.realpath(file.source.path), None))
        return self._load(file)

    def _load(self, file: t.File) -> Module:
        """Declare what a file imports and declares."""
        module = Module(file)
        for line in file.imports:
            self._import(line, module)
        for function in file.functions:
            self._declare(function, module)
        self._declare_constants(module)
        return module

    # imports

    def _import(self, line: t.Import, module: Module) -> None:
        try:
            origin = self._origin(line, module)
        except SourceError as error:
            self.context.report(error)
            origin = None
        for name in line.names:
            self._import_name(name, line, origin, module)

    def _origin(self, line: t.Import, module: Module) -> Module | None:
        """The module that a line imports from; None where it has errors of its own. Raises SourceError."""
        context = self.context
        try:
            identity, source = imported_source(line.path, line.relative, module.file.source)
        except SourceError as error:
            (why,) = error.diagnostics
            raise SourceError(why._replace(labels=(Label(line.path_span),), path=None)) from None
        if identity in (known for known, _ in self._loading):
            raise self._cycle(identity, line)
        if identity in self._loaded:
            return self._loaded[identity]
        if len(self._loaded) >= context.limits.files:
            raise context.limit(f"more than {context.limits.files} files are imported", line.path_span, None,
                                "NETDSL_MAX_FILES")  # fmt: skip
        context.step(line.span, None, len(source.text) // 2)
        self._loaded[identity] = None
        self._loading.append((identity, line.path_span))
        try:
            self._loaded[identity] = self._load(parse(source))
        except SourceError as error:
            # a limit that was reached names its place already
            here = Label(line.path_span, "imported here")
            raise type(error)(*(d._replace(labels=(*d.labels, here)) for d in error.diagnostics)) from None
        finally:
            self._loading.pop()
        return self._loaded[identity]

    def _cycle(self, identity: str, line: t.Import) -> SourceError:
        """The files that import each other, in order."""
        start = next(i for i, (known, _) in enumerate(self._loading) if known == identity)
        steps = [Label(span, "which is imported here") for _, span in reversed(self._loading[start + 1 :]) if span]
        return SourceError(Diagnostic(
            "E0111", "files import each other in a circle", (Label(line.path_span, "this closes the circle"), *steps),
            helps=("move what both need into a third file",),
        ))  # fmt: skip

    def _import_name(self, name: t.Imported, line: t.Import, origin: Module | None, module: Module) -> None:
        context, alias = self.context, name.alias
        if alias in reserved():
            context.report(context.error("E0209", f"`{alias}` is a name of the language and cannot be bound", name.span,
                                         helps=(f"import it under another name: `{name.name} as my_{alias}`",)))  # fmt: skip
            return
        if alias in module.imports:
            context.report(context.error("E0105", f"`{alias}` is imported twice", name.span,
                                         also=(Label(module.imports[alias], "the first is here"),),
                                         helps=(f"give one another name: `{name.name} as other`",)))  # fmt: skip
            return
        module.imports[alias] = name.span
        if origin is not None and name.name in origin.functions and name.name not in origin.imports:
            module.functions[alias] = origin.functions[name.name]
        elif origin is not None and name.name in origin.constants and name.name not in origin.imports:
            module.constants[alias] = origin.constants[name.name]
        else:
            module.constants[alias] = POISON
            if origin is not None:
                context.report(self._missing(name, line, origin))

    def _missing(self, name: t.Imported, line: t.Import, origin: Module) -> SourceError:
        declared = [n for n in (*origin.functions, *origin.constants) if n not in origin.imports]
        helps = did_you_mean(name.name, declared)
        elsewhere = std_names().get(name.name)
        if name.name in origin.imports:
            helps = ("it is imported there, too: import it from where it is declared",)
        elif elsewhere:
            helps = (f"`from std.{elsewhere} import {name.name}`",)
        listed = ", ".join(declared[:20]) + (", ..." if len(declared) > 20 else "")
        return self.context.error("E0110", f"`{line.path}` declares no `{name.name}`", name.span,
                                  notes=(f"it declares {listed or 'nothing'}",), helps=helps)  # fmt: skip

    # declarations

    def _declare(self, function: t.Function, module: Module) -> None:
        context = self.context
        if function.name in reserved():
            context.report(context.error("E0209", f"`{function.name}` is a name of the language and cannot be bound",
                                         function.name_span, helps=(f"choose another, such as `my_{function.name}`",)))  # fmt: skip
            return
        if self._taken(function.name, function.name_span, module):
            return
        module.functions[function.name] = Declaration(function, module)
        errors = len(context.diagnostics)
        self._check_signature(function, module)
        if len(context.diagnostics) > errors:
            context.broken.add(id(function))

    def _taken(self, name: str, span: Span, module: Module) -> bool:
        """Whether a declaration or an import has the name already; if so it is reported."""
        context = self.context
        if name in module.imports:
            context.report(context.error("E0105", f"`{name}` is imported, and declared here", span,
                                         also=(Label(module.imports[name], "imported here"),),
                                         helps=(f"rename one: `import {name} as other_{name}`",)))  # fmt: skip
            return True
        if name in module.functions:
            first = module.functions[name].function.name_span
            context.report(context.error("E0105", f"two declarations of `{name}`", span,
                                         also=(Label(first, "the first is here"),), helps=("rename one",)))  # fmt: skip
            return True
        return False

    def _declare_constants(self, module: Module) -> None:
        kept: list[t.Statement] = []
        for constant in module.file.constants:
            taken = [self._taken(target.name, target.span, module) for target in constant.targets]
            if not any(taken):
                kept.append(constant)
            else:
                free = (target.name for target, there in zip(constant.targets, taken, strict=True) if not there)
                module.constants |= dict.fromkeys(free, POISON)
        self.context.statements.run(kept, Scope(None, Place(""), module, module.constants))

    def _check_signature(self, function: t.Function, module: Module) -> None:
        """Names of a signature are its own: hyperparameters, inputs and named sizes; and among themselves, outputs."""
        context = self.context
        sizes = {d.name: d for port in function.inputs for d in port.dimensions or [] if d.name is not None}
        groups: tuple[list[Any], ...] = (
            [*function.hyperparameters, *function.inputs, *sizes.values()],
            [*function.outputs],
        )
        for group in groups:
            seen: dict[str, Span] = {}
            for entry in group:
                name = entry.name or ""
                if name in reserved():
                    context.report(context.error("E0209", f"`{name}` is a name of the language and cannot be bound",
                                                 entry.span, helps=(f"choose another, such as `{name}_1`",)))  # fmt: skip
                elif name in module.imports:
                    context.report(context.shadows(name, entry.span, module.imports[name]))
                elif name in seen:
                    context.report(context.error("E0105", f"`{name}` is declared twice", entry.span,
                                                 also=(Label(seen[name], "the first is here"),),
                                                 helps=("rename one",)))  # fmt: skip
                seen.setdefault(name, entry.span)
