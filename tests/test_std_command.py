"""`netdsl std`: what it lists, what it prints of a module and of a block."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from net_text import graph, params

from netdsl.cli import main
from netdsl.elaborate.sources import std_modules, std_names, std_source

STD = Path(__file__).parent.parent / "netdsl" / "std"


def told(*arguments, code=0):
    result = CliRunner().invoke(main, ["std", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_list_names_every_module_and_block_once():
    lines = told().split("\n")
    assert [line.split(":")[0] for line in lines if line.startswith("std.")] == [f"std.{m}" for m in std_modules()]
    listed = [line.split()[0] for line in lines if line.startswith("  ")]
    assert sorted(listed) == sorted(std_names())
    assert max(map(len, lines)) <= 125


@pytest.mark.parametrize("name", ["residual", "std.residual"])
def test_a_module_shows_its_blocks_and_pictures(name):
    text = told(name)
    for block in ("basic", "bottleneck", "residual", "padded_shortcut"):
        assert f"\nblock {block}(" in text
    assert "He, Zhang, Ren, Sun" in text and "+---" in text
    assert "main =" not in text


@pytest.mark.parametrize("name", ["residual.shortcut", "shortcut", "std.residual.shortcut"])
def test_a_block_is_printed_as_it_stands(name):
    first, blank, *text = told(name).rstrip("\n").split("\n")
    assert first == "from std.residual import shortcut" and blank == ""
    assert "\n".join(text) + "\n" in std_source("residual").text


def test_a_printed_block_can_be_copied():
    copy = told("residual.preact_basic").partition("\n")[2]
    net = "net f : x[8, 8, 8] -> y { y = x -> preact_basic(16, 2) }"
    assert params(graph(f"{copy}\n{net}")) == params(graph(f"from std.residual import preact_basic\n{net}"))


@pytest.mark.parametrize("name, meant", [("botleneck", "bottleneck"), ("residul", "residual"), ("unet.basic", "residual.basic"),
                                         ("separable.seprable", "separable.separable")])  # fmt: skip
def test_a_misspelt_name_is_an_error_with_a_way_out(name, meant):
    text = told(name, code=1)
    assert f"`{name}`" in text and f"did you mean `{meant}`?" in text and "`netdsl std` lists all" in text


def test_it_imports_no_numpy():
    program = "import sys; from netdsl.cli import main; main(['std'], standalone_mode=False); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_the_lints_find_nothing_in_the_library():
    result = CliRunner().invoke(main, ["check", "--strict", *(str(STD / f"{module}.net") for module in std_modules())])
    assert result.exit_code == 0, result.output
