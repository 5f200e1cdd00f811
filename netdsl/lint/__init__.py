"""Lints: what is well formed, and likely a slip all the same. The rules are listed in `docs/language.md`."""

from netdsl.lint.run import lint, rules

__all__ = ["lint", "rules"]
