"""The README shows what the program prints."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from netdsl.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", README, re.DOTALL)


def block(start: str) -> str:
    return next(text for text in BLOCKS if text.startswith(start))


def test_first_file_is_the_example() -> None:
    assert block("# A small network") == (ROOT / "examples" / "small.net").read_text(encoding="utf-8")


def test_table_is_what_analyze_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(main, ["analyze", str(ROOT / "examples" / "small.net")])
    assert result.exit_code == 0
    shown = block("small(width = 16")
    assert result.stdout.startswith(shown.rstrip("\n"))


def test_diagnostic_is_what_check_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "examples" / "small.net").read_text(encoding="utf-8")
    Path("broken.net").write_text(text.replace("main + x", "main + (x -> max_pool(2))"), encoding="utf-8")
    result = CliRunner().invoke(main, ["check", "broken.net"])
    assert result.exit_code == 1
    assert result.stderr.rstrip() == block("error[E0311]").rstrip()


def test_commands_exist() -> None:
    named = set(re.findall(r"`netdsl (\w+)", README))
    assert named <= set(main.list_commands(click.Context(main)))
    for target in ("demo", "test"):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
