"""The README shows what the program prints."""

import re
from pathlib import Path

import click
from click.testing import CliRunner

from netdsl.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```\n(.*?)```", README, re.DOTALL)


def block(start):
    return next(text for text in BLOCKS if text.startswith(start))


def test_first_file_is_the_example():
    assert block("# A small network") == (ROOT / "examples" / "small.net").read_text(encoding="utf-8")


def test_table_is_what_analyze_prints(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(main, ["analyze", str(ROOT / "examples" / "small.net")])
    assert result.exit_code == 0
    shown = block("small(width = 16")
    assert result.stdout.startswith(shown.rstrip("\n"))


def test_diagnostic_is_what_check_prints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "examples" / "small.net").read_text(encoding="utf-8")
    Path("broken.net").write_text(text.replace("main + x", "main + (x -> max_pool(2))"), encoding="utf-8")
    result = CliRunner().invoke(main, ["check", "broken.net"])
    assert result.exit_code == 1
    assert result.stderr.rstrip() == block("error[E0311]").rstrip()


def test_the_architecture_is_in_the_zoo_and_complete():
    text = (ROOT / "examples" / "zoo" / "unet.net").read_text(encoding="utf-8")
    before, after = text.split(block("# Two 3x3"))
    assert all(line.startswith("#") for line in before.split("\n") if line)
    assert re.findall(r"^\w+", after, re.MULTILINE) == ["train"]


def test_warning_is_what_check_prints(monkeypatch):
    monkeypatch.chdir(ROOT)
    result = CliRunner().invoke(main, ["check", "examples/zoo/unet.net", "--set", "H=512", "--set", "W=512"])
    assert block("warning[W0202]") in result.stderr


def test_the_zoo_is_counted():
    (count,) = re.findall(r"`examples/zoo/` has (\d+) files", README)
    assert int(count) == len(list((ROOT / "examples" / "zoo").glob("*.net")))


def test_python_runs(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    exec(code.replace("epochs=3", "epochs=1"), {})
    assert Path("resnet.onnx").exists() and Path("runs/lenet5").is_dir()


def test_files_and_commands_exist():
    context = click.Context(main)
    assert set(re.findall(r"`netdsl (\w+)", README)) == set(main.list_commands(context))
    for command, options in re.findall(r"^\| `netdsl (\w+)(.*)$", README, re.MULTILINE):
        declared = main.get_command(context, command)
        assert declared is not None
        known = {name for parameter in declared.params for name in parameter.opts}
        assert set(re.findall(r"`[^`]*?(--[\w-]+)", options)) <= known
    for path in re.findall(r"`((?:docs|examples|benchmarks)/[\w/.-]+)", README):
        assert (ROOT / path).exists(), path
    for target in ("demo", "test"):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
