"""Lints: what is well formed, and likely a slip all the same. The rules are listed in `docs/language.md`."""

from netdsl.lint.run import lint, lint_text, rules

__all__ = ["lint", "lint_text", "rules"]
