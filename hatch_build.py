"""Generates the parser's tables while a wheel is built, so that no user waits for them."""

import runpy
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class TablesHook(BuildHookInterface):
    def initialize(self, version, build_data):
        root = Path(self.root)
        generate = runpy.run_path(str(root / "netdsl" / "syntax" / "generate.py"))["generate"]
        grammar = (root / "grammars" / "netdsl.lark").read_text(encoding="utf-8")
        (root / "netdsl" / "syntax" / "_tables.py").write_text(generate(grammar), encoding="utf-8")
