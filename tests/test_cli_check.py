"""`netdsl check`: several nets and files, formats, warnings, and what it says at the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from netdsl.cli import main

EXAMPLES = Path(__file__).parent.parent / "examples"
NETS = {
    "fine.net": "net f(n = 1) : x[3, 8, 8] -> y { y = x -> n * conv(4, 3) }\n",
    "two.net": "net a : x[3] -> y { y = x -> relu }\nnet b : x[4] -> y {\n  y = x -> relu -> tanh\n  expect params == 0\n}\n",
    "both.net": "block u : x -> y { y = x -> konv(3) }\n"
                "net a : x[3, 8, 8] -> y { y = x -> u }\nnet b : x[3, 8, 8] -> y { y = x -> relu -> u }\n",
    "expects.net": "net a : x[3] -> y {\n  y = x -> relu\n  expect params == 1\n  expect depth == 1\n}\n"
                   "net b : x[3] -> y { y = x -> relu }\n",
    "blocks.net": "block u : x -> y { y = x -> relu }\n",
    "broken.net": "block u : x -> y { y = x -> rleu }\n",
    "noted.net": "net f : x[3, 8, 8] -> y {\n  c = conv(3, 3)\n  y = x -> c -> c\n}\n",
    "sizes.net": "net f : x[3, H = 32, 8] -> y { y = concat(x, x -> max_pool(2) -> upsample(2)) }\n",
    "warned.net": "net f : x[3, 8, 8] -> y {\n  lonely = x -> conv(4, 3)\n  y = x -> relu\n}\n",
    "empty.net": "\n",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in NETS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def check(*arguments):
    result = CliRunner().invoke(main, ["check", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def as_json(*arguments):
    result = check(*arguments, "--json")
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["ok"] == (result.exit_code == 0)
    return found


def test_all_nets_of_a_file():
    result = check("two.net")
    assert (result.exit_code, result.stdout) == (0, "")
    assert (
        result.stderr == "two.net: a is well formed: 1 layer\ntwo.net: b is well formed: 2 layers, 1 expectation met\n"
    )
    assert [net["net"] for net in as_json("two.net")["nets"]] == ["a", "b"]
    assert [net["net"] for net in as_json("two.net:b")["nets"]] == ["b"]


def test_what_nets_have_in_common_is_said_once():
    result = check("both.net")
    assert (result.exit_code, result.stderr.count("error[")) == (1, 1)
    assert len(as_json("both.net", "both.net", "both.net:b")["diagnostics"]) == 1


def test_expectations_of_each_net():
    result = check("expects.net")
    assert result.exit_code == 1
    assert result.stderr.count("error[E04") == 2
    assert result.stderr.split("\n\n")[-1].startswith("expects.net: b is well formed: 1 layer\n2 errors; ")


def test_blocks_alone():
    result = check("blocks.net")
    assert (result.exit_code, result.stderr) == (0, "blocks.net: no net; the names in its blocks are defined\n")
    assert as_json("blocks.net") == {"ok": True, "diagnostics": [], "nets": []}
    assert [d["code"] for d in as_json("broken.net")["diagnostics"]] == ["E0201"]
    assert [d["code"] for d in as_json("empty.net")["diagnostics"]] == ["E0103"]


def test_the_text_of_a_file_without_a_net_is_linted(tmp_path):
    (tmp_path / "blocks.net").write_text("block b(width) : x -> y { y = x -> relu }\n")
    result = CliRunner().invoke(main, ["check", "--strict", str(tmp_path / "blocks.net")])
    assert result.exit_code == 1 and "W0105" in result.stderr


def test_several_files():
    result = check("fine.net", "both.net", "none.net", "blocks.net")
    assert result.exit_code == 1
    assert result.stderr.count("error[") == 2
    *_, last = result.stderr.split("\n\n")
    assert last.startswith("fine.net: f is well formed: 1 layer\nblocks.net: no net;")
    assert "\n2 errors; " in last
    assert check(*map(str, EXAMPLES.glob("*.net"))).exit_code == 0


def test_hyperparameters_are_for_one_net():
    assert check("fine.net", "--set", "n=3").stderr == "fine.net: f is well formed: 3 layers\n"
    result = check("fine.net", "two.net", "--set", "n=3")
    assert (result.exit_code, "one net" in result.stderr) == (2, True)
    result = check("two.net", "--set", "n=3")
    assert (result.exit_code, "E0106" in result.stderr) == (1, True)


def test_legal_sizes():
    said = check("sizes.net").stderr.split("\n")
    assert said[0] == "sizes.net: f is well formed: 3 layers"
    assert said[1].startswith("  H must be a multiple of 2")
    ((statement,),) = [net["constraints"] for net in as_json("sizes.net")["nets"]]
    assert said[1] == "  " + statement


def test_warnings_fail_where_they_are_to():
    result = check("warned.net")
    assert (result.exit_code, result.stderr.startswith("warning[W")) == (0, True)
    assert "f is well formed" in result.stderr
    result = check("warned.net", "--strict")
    assert (result.exit_code, result.stderr.startswith("error[W")) == (1, True)
    assert check("noted.net", "--strict").exit_code == 0


def test_errors_come_first_and_all_are_counted():
    result = check("noted.net", "warned.net", "both.net", "broken.net")
    severities = [
        line.partition("[")[0] for line in result.stderr.split("\n") if line.startswith(("error[", "warning[", "note["))
    ]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    counts = [severities.count(kind) for kind in ("error", "warning", "note")]
    assert counts[0] == 2 and min(counts) >= 1
    said = ", ".join(f"{n} {kind}{'s' if n > 1 else ''}" for n, kind in zip(counts, ("error", "warning", "note")))
    assert f"\n{said}; for more: netdsl explain E0201\n" in result.stderr


@pytest.mark.parametrize("path", ["fine.net", "both.net", "none.net", "warned.net", "broken.net"])
def test_formats_say_the_same(path):
    found = as_json(path)
    codes = [d["code"] for d in found["diagnostics"]]
    assert check(path, "--format", "json").stdout == check(path, "--json").stdout
    commands = check(path, "--format", "github").stdout.splitlines()
    assert [line.partition("title=")[2][:5] for line in commands] == codes
    result = check(path, "--format", "sarif")
    assert [r["ruleId"] for r in json.loads(result.stdout)["runs"][0]["results"]] == codes
    assert (result.stderr, result.exit_code) == ("", 0 if found["ok"] else 1)
    assert check(path, "--format", "text").stderr.count("\n -->") == len(codes)


def test_formats_that_are_not_or_contradict():
    assert check("fine.net", "--format", "xml").exit_code == 2
    assert check("fine.net", "--json", "--format", "sarif").exit_code == 2
    assert check("fine.net", "--json", "--format", "json").exit_code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_on_a_terminal(environment, coloured):
    """Colours, and no line that is wider than the terminal says it is."""
    import fcntl
    import pty
    import struct
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    Path("wide.net").write_text(
        "net f : x[3, 8, 8] -> y { y = x -> conv(3, 3, stirde = 2) -> relu -> conv(3, 3) -> relu -> tanh }\n"
    )
    variables = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | environment
    command = [sys.executable, "-m", "netdsl", "check", "wide.net"]
    variables["PYTHONPATH"] = str(EXAMPLES.parent)
    assert subprocess.run(command, stderr=writer, env=variables, check=False).returncode == 1
    os.close(writer)
    text = os.read(reader, 100_000).decode()
    os.close(reader)
    assert ("\x1b[1;31merror" in text) == coloured == ("\x1b" in text)
    if not coloured:
        assert max(map(len, text.splitlines())) <= 60 < len(Path("wide.net").read_text())
