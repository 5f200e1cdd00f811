"""Every code has a page in the catalogue; its failing examples give that code, its mended ones no message at all."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from netdsl.cli import main
from netdsl.cli.explain import page
from netdsl.diagnostics import NetError, catalogue

ROOT = Path(__file__).parent.parent / "netdsl"
_CODE = re.compile(r"\"([ENW]\d{4})\"")
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MESSAGE = re.compile(r"^(?:error|warning|note)\[(\w+)\]", re.MULTILINE)
#: the file that pages use without showing it
SMALL = """net small : image[1, 8, 8] -> logits {
    logits = image -> conv(4, 3) -> relu -> flatten -> dense(10)
}

train small {
    target    = class(label)
    loss      = cross_entropy(logits, label)
    optimizer = sgd(0.01)
    batch     = 4
    epochs    = 1
}
"""
KINDS = {
    ("python", ""),
    ("text", ""),
    *((word, info) for word in ("net", "console", "python") for info in ("fail", "ok")),
}


class Block(NamedTuple):
    language: str
    info: str
    text: str


def blocks(code):
    return [Block(*found) for found in _BLOCK.findall(catalogue.text(code))]


def used():
    """The codes in the source."""
    return {code for path in ROOT.rglob("*.py") for code in _CODE.findall(path.read_text(encoding="utf-8"))}


def test_every_code_has_a_page_and_every_page_a_code():
    assert used() == set(catalogue.codes())


@pytest.mark.parametrize("code", catalogue.codes())
def test_form(code):
    text = catalogue.text(code)
    assert text.startswith(f"# {code}: ") and catalogue.title(code)
    assert len(catalogue.title(code)) <= 70 and not catalogue.title(code).endswith(".")
    assert max(map(len, text.split("\n"))) <= 120
    assert text.count("```") == 2 * len(blocks(code)), "a fence without its partner, or without a language"
    for block in blocks(code):
        assert (block.language, block.info) in KINDS or block.info.startswith("file=")
    prose = _BLOCK.sub("", text).split("\n", 1)[1]
    assert len(prose.split()) >= 20


@pytest.mark.parametrize("code", catalogue.codes())
def test_examples(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.net").write_text(SMALL, encoding="utf-8")
    for block in blocks(code):
        if block.info.startswith("file="):
            path = tmp_path / block.info.removeprefix("file=")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif not block.info:
            if block.language == "python":
                exec(block.text, {})
        else:
            found = messages(block, monkeypatch, succeeds=block.info == "ok" or not code.startswith("E"))
            if block.info == "fail":
                assert found and set(found) == {code}, f"messages {found}"
            else:
                assert not found


def messages(block, monkeypatch, succeeds):
    """The codes of the messages that a file, or the last of several commands, has; the others have none."""
    if block.language == "python":
        try:
            exec(block.text, {})
        except NetError as error:
            return [diagnostic.code for diagnostic in error.diagnostics]
        return []
    if block.language == "net":
        Path("example.net").write_text(block.text, encoding="utf-8")
        commands = ["netdsl check example.net"]
    else:
        commands = [line.removeprefix("$ ") for line in block.text.split("\n") if line.startswith("$ ")]
    for number, command in enumerate(commands, start=1):
        words = shlex.split(command)
        start = words.index("netdsl")
        with monkeypatch.context() as environment:
            for name, value in (word.split("=") for word in words[:start]):
                environment.setenv(name, value)
            result = CliRunner().invoke(main, words[start + 1 :])
        assert result.exit_code == (number == len(commands) and not succeeds), result.output
    return _MESSAGE.findall(result.stderr)


def test_explain_prints_the_page():
    result = CliRunner().invoke(main, ["explain", "e0311"])
    assert result.exit_code == 0
    assert result.stdout.startswith("E0311: shapes do not agree in arithmetic\n\n")
    assert "this fails:\n\n    net f : image[3, 32, 32] -> y {\n        x = image" in result.stdout
    assert "\x1b" not in result.stdout and "```" not in result.stdout


def test_explain_lists_all_codes():
    lines = CliRunner().invoke(main, ["explain"]).stdout.split("\n")
    for code in catalogue.codes():
        assert f"  {code}  {catalogue.title(code)}" in lines
    assert {f"{catalogue.FAMILIES[catalogue.family(code)]}:" for code in catalogue.codes()} <= set(lines)


def test_explain_of_an_unknown_code():
    result = CliRunner().invoke(main, ["explain", "E9311"])
    assert result.exit_code == 1
    assert "there is no code `E9311`" in result.stderr and "did you mean `E0311`?" in result.stderr


def test_headings_and_code_are_told_apart_on_a_terminal():
    lines = list(page(catalogue.text("E0311"), 80, lambda text, style: f"<{style}>{text}</>"))
    assert lines[0] == "<1>E0311: shapes do not agree in arithmetic</>"
    assert lines.count("<1>this fails:</>") == lines.count("<1>this does not:</>") == 1


def test_explain_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = CliRunner().invoke(main, ["explain", "E0311"]).stdout.split("\n")
    assert all(len(line) <= 40 for line in lines if not line.startswith(" "))
