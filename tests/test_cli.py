"""The command line: exit codes, where output goes, JSON, colours, and no traceback for bad input."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import netdsl
from netdsl.cli import common, main

EXAMPLES = Path(__file__).parent.parent / "examples"
NET = "net f(n = 2, widths = [4, 8]) : x[3, 8, 8] -> y { y = x -> n * conv(widths[0], 3) -> flatten -> dense(3) }\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.net").write_text(NET)
    (tmp_path / "bad.net").write_text(
        "net f : x[3, 8, 8] -> y {\n  a = x -> konv(3)\n  y = x -> conv(3, 3, pda = 0)\n}\n"
    )
    (tmp_path / "note.net").write_text("net f : x[3, 8, 8] -> y {\n  c = conv(3, 3)\n  y = x -> c -> c\n}\n")
    (tmp_path / "two.net").write_text("net a : x[3] -> y { y = x -> relu }\nnet b : x[4] -> y { y = x -> relu }\n")
    return tmp_path


def run(*arguments):
    result = CliRunner().invoke(main, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "f.net"], 0), (["check", "f.net:f"], 0), (["check", "bad.net"], 1), (["check", "none.net"], 1),
        (["check", "f.net:g"], 1), (["check", "two.net"], 0), (["check", "two.net:b"], 0), (["check", "."], 1),
        (["check", "f.net", "--set", "n=3"], 0), (["check", "f.net", "--set", "n=-1"], 1), (["check", "f.net", "--set", "m=1"], 1),
        (["check", "f.net", "--set", "n=("], 1), (["check", "f.net", "--set", "n=1/0"], 1), (["check", "f.net", "--set", "n=n"], 1),
        (["check", "f.net", "--set", "widths=[2 ** i for i in range(3)]"], 0), (["check", "f.net", "--set", "n"], 2),
        (["check", "f.net", "--set", "=3"], 2), (["check", "f.net", "--set", "n="], 2), (["check"], 2),
        (["check", "f.net", "--colour"], 2), (["analyze", "f.net", "more"], 2), (["chekc", "f.net"], 2), ([], 2),
        (["analyze", "f.net"], 0), (["analyze", "bad.net"], 1), (["analyze", "f.net", "--depth", "0"], 0),
        (["analyze", "f.net", "--batch", "8"], 1), (["analyze", "f.net", "--batch", "0"], 2),
        (["analyze", "f.net", "--depth", "-1"], 2), (["analyze", "f.net", "--depth", "x"], 2),
        (["compile", "bad.net"], 1), (["compile", "f.net", "-o", "no/such/f.onnx"], 1), (["compile", "f.net", "-o", "."], 1),
        (["compile", "f.net", "-o", ""], 2), (["compile", "f.net", "--weights", "none.safetensors"], 1),
        (["compile", "f.net", "--weights", "f.net"], 1), (["compile", "f.net", "--weights", "."], 1),
        (["compile", "f.net", "--seed", "-1"], 2), (["compile", "f.net", "--seed", "x"], 2),
        (["ops"], 0), (["ops", "conv"], 0), (["ops", "konv"], 1), (["--help"], 0), (["--version"], 0), (["analyze", "-h"], 0),
        (["train", "f.net", "--data", "digits"], 1), (["run", "f.net", "none.png"], 1), (["train", "f.net"], 2),
        (["train", "f.net", "--data", "digits", "--out", ""], 2), (["convert", "f.net", "--fold-bn", "--weights", ""], 2),
    ],
)  # fmt: skip
def test_exit_codes(folder, arguments, code):
    before = sorted(folder.iterdir())
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert sorted(folder.iterdir()) == before, "something was left behind"
    if code == 1:
        assert result.stdout == ""
        assert result.stderr.startswith("error[E")
    if code == 2 and arguments:
        assert "Error:" in result.stderr


def test_check_speaks_to_people_on_stderr(folder):
    result = run("check", "f.net")
    assert (result.stdout, result.stderr) == ("", "f.net: f is well formed: 4 layers\n")
    result = run("check", str(EXAMPLES / "zoo" / "lenet5.net"))
    assert result.stderr.endswith("5 expectations met\n")


def test_check_counts_several_errors(folder):
    result = run("check", "bad.net")
    assert result.stderr.count("error[") == 2
    assert result.stderr.endswith("2 errors; for more: netdsl explain E0201\n")


def test_notes_do_not_fail(folder):
    result = run("check", "note.net")
    assert result.exit_code == 0
    assert result.stderr.startswith("note[N0001]")
    noted = json.loads(run("check", "note.net", "--json").stdout)
    assert (noted["ok"], noted["diagnostics"][0]["severity"]) == (True, "note")


def test_check_as_json(folder):
    fine = {"ok": True, "diagnostics": [], "nets": [{"net": "f", "file": "f.net", "constraints": []}]}
    assert json.loads(run("check", "f.net", "--json").stdout) == fine
    result = run("check", "bad.net", "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    found = json.loads(result.stdout)
    assert found["ok"] is False
    first, second = found["diagnostics"]
    assert first == {
        "severity": "error", "code": "E0201", "message": "`konv` is not defined",
        "labels": [{"path": "bad.net", "line": 2, "column": 12, "end_line": 2, "end_column": 16, "text": ""}],
        "chain": [], "notes": [], "helps": ["did you mean `conv`?"], "path": None,
    }  # fmt: skip
    assert (second["labels"][0]["line"], second["helps"]) == (3, ["did you mean `pad`?"])
    missing = json.loads(run("check", "none.net", "--json").stdout)["diagnostics"][0]
    assert (missing["labels"], missing["path"]) == ([], "none.net")


def analyzed(*arguments):
    result = run("analyze", *arguments, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    return found


def test_analyze_as_json_has_the_keys_that_are_promised():
    found = analyzed(str(EXAMPLES / "resnet.net"), "--set", "n=2")
    assert {"net", "file", "hyperparameters", "inputs", "outputs", "totals", "layers", "constraints"} <= set(found)
    assert (found["net"], found["hyperparameters"]) == ("resnet", {"n": 2, "classes": 10})
    assert {"name", "shape", "dtype"} <= set(found["inputs"][0])
    assert (found["inputs"][0]["shape"], found["outputs"][0]["shape"]) == ([3, 32, 32], [10])
    assert {"params", "trainable_params", "macs", "flops", "activation_bytes", "peak_memory_bytes", "depth"} <= set(
        found["totals"]
    )
    for layer in found["layers"]:
        assert {"name", "op", "block", "shape", "params", "macs", "flops", "line", "receptive_field"} <= set(layer)
        if layer["receptive_field"] is not None:
            assert {"size", "stride", "start", "aligned"} <= set(layer["receptive_field"])
    assert all(isinstance(c, str) for c in found["constraints"])
    assert sum(layer["params"] for layer in found["layers"]) == found["totals"]["params"]


def test_hyperparameters_that_are_layers_are_reported_as_written(folder):
    (folder / "h.net").write_text(
        "block b(w) : x -> y { y = x -> conv(w, 3) }\n"
        'net f(unit = b, act = relu  -> bn, i = gaussian(0.01), s = "a", m = none) : x[3, 8, 8] -> y { y = x -> unit(4) -> act }\n'
    )
    expected = {"unit": "b", "act": "relu -> bn", "i": "gaussian(0.01)", "s": "a", "m": None}
    assert analyzed("h.net")["hyperparameters"] == expected
    assert analyzed("h.net", "--set", "act=tanh")["hyperparameters"]["act"] == "tanh"


@pytest.mark.parametrize(("text", "value"), [("3", 3), ("1.5", 1.5), ("[1, [2]]", [1, [2]]), ('"a"', "a"), ("true", True),
                                             ("none", None), ("2 ** 4", 16), ("10k", 10_000)])  # fmt: skip
def test_set_reads_values_as_a_file_does(folder, text, value):
    (folder / "v.net").write_text("net f(v) : x[3] -> y { y = x -> relu }\n")
    assert run("check", "v.net").exit_code == 1
    assert analyzed("v.net", "--set", f"v = {text}")["hyperparameters"] == {"v": value}


def test_set_takes_blocks_and_operators(folder):
    (folder / "u.net").write_text(
        "block wide(w) : x -> y { y = x -> conv(2 * w, 3) }\n"
        "block thin(w) : x -> y { y = x -> conv(w, 1) }\n"
        "net f(unit = wide) : x[3, 8, 8] -> y { y = x -> unit(4) }\n"
    )
    assert analyzed("u.net")["outputs"][0]["shape"] == [8, 8, 8]
    assert analyzed("u.net", "--set", "unit=thin")["outputs"][0]["shape"] == [4, 8, 8]


def test_a_later_set_wins(folder):
    assert analyzed("f.net", "--set", "n=1", "--set", "n=3")["hyperparameters"]["n"] == 3


def test_analyze_with_a_batch_says_what_training_takes():
    plain, found = (analyzed(str(EXAMPLES / "small.net"), *more) for more in ([], ["--batch", "64"]))
    memory = found["totals"].pop("training_memory_bytes")
    assert 30e6 < memory < 50e6 and found.pop("batch") == 64
    assert found == plain
    table = run("analyze", str(EXAMPLES / "small.net"), "--batch", "64").stdout
    assert f"training     {memory / 1e6:.1f} MB at a batch of 64" in table


def test_analyze_prints_the_table_on_stdout(folder):
    result = run("analyze", "f.net")
    assert result.stderr == ""
    assert result.stdout.startswith("f(n = 2, widths = [4, 8])")
    assert "\x1b" not in result.stdout


def test_ops_lists_and_describes():
    listed = run("ops").stdout
    for name in ("conv", "deconv", "bn", "concat", "cross_entropy"):
        assert f"\n  {name} " in listed
    assert "stride" in run("ops", "conv").stdout
    assert "did you mean `conv`?" in run("ops", "konv").stderr


# compile


def test_compile_writes_a_model_and_says_so(folder):
    result = run("compile", "f.net", "--set", "n=1", "--seed", "7", "-o", "m.onnx")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("wrote m.onnx: ")
    assert "seed 7" in result.stderr
    assert run("compile", "f.net").exit_code == 0
    assert (folder / "f.onnx").stat().st_size > 100
    netdsl.load("f.net").save("w.safetensors")
    assert run("compile", "f.net", "--weights", "w.safetensors", "--fold-bn", "-o", "m.onnx").exit_code == 0
    assert sorted(p.name for p in folder.iterdir() if p.suffix != ".net") == ["f.onnx", "m.onnx", "w.safetensors"]


def test_what_was_there_stays_where_compiling_fails(folder):
    (folder / "m.onnx").write_bytes(b"precious")
    (folder / "garbage.safetensors").write_bytes(os.urandom(1000))
    netdsl.load("f.net").save("w.safetensors")
    for arguments in (
        ["bad.net"], ["f.net", "--weights", "garbage.safetensors"], ["f.net", "--weights", "w.safetensors", "--set", "n=3"],
        ["f.net", "--weights", "w.safetensors", "--set", "widths=[5]"],
    ):  # fmt: skip
        result = run("compile", *arguments, "-o", "m.onnx")
        assert result.exit_code == 1
        assert (folder / "m.onnx").read_bytes() == b"precious"
        assert len(list(folder.glob("*"))) == 7


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(folder):
    (folder / "locked").mkdir(mode=0o500)
    assert run("compile", "f.net", "-o", "locked/f.onnx").exit_code == 1


# the terminal


class _Stream:
    def __init__(self, terminal):
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def test_colour_only_on_a_terminal_that_wants_it(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert common.colour(_Stream(True))
    assert not common.colour(_Stream(False))
    monkeypatch.setenv("TERM", "dumb")
    assert not common.colour(_Stream(True))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not common.colour(_Stream(True))


def process(*arguments, folder, **options):
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, **options.pop("env", {})}
    return subprocess.run([sys.executable, "-m", "netdsl", *arguments], cwd=folder, env=environment, timeout=60,
                          check=False, **options)  # fmt: skip


def test_a_reader_that_leaves_early_is_no_error_to_tell(folder):
    reading, writing = os.pipe()
    os.close(reading)
    ran = process("analyze", "f.net", folder=folder, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_stdout_is_told(folder):
    with open("/dev/full", "wb") as full:
        ran = process("analyze", "f.net", "--json", folder=folder, stdout=full, stderr=subprocess.PIPE)
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"error[E0903]: the output cannot be written: No space left on device")


def test_names_and_terminals_that_are_not_unicode(folder):
    (folder / "ä.net").write_text(NET.replace("net f", "# größer\nnet f"))
    ran = process("analyze", "ä.net", folder=folder, capture_output=True, env={"PYTHONIOENCODING": "ascii"})
    assert (ran.returncode, ran.stderr) == (0, b"")
    if sys.platform == "linux":
        ran = process("check", "--json", os.fsdecode(b"\xff.net"), folder=folder, capture_output=True)
        assert ran.returncode == 1
        assert json.loads(ran.stdout)["diagnostics"][0]["message"] == "there is no such file"


def test_help_fits_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = run("--help").stdout
    commands = [line.split(maxsplit=1) for line in text.partition("Commands:\n")[2].splitlines()]
    assert all(len(said) == 2 and said[1].endswith(".") and not said[1].endswith("...") for said in commands)
    for name, _ in commands:
        page = run(name, "--help").stdout
        assert max(map(len, page.splitlines())) <= 80
        assert "   " not in page.partition("Options:")[0].strip().replace("\n  ", "\n")


def test_a_misspelt_command():
    result = run("analyse", "f.net")
    assert result.exit_code == 2 and "Did you mean 'analyze'?" in result.stderr
    assert "Did you mean" not in run("xyzzy").stderr


def test_run_before_training(folder):
    result = run("run", "f.net", "image.png")
    assert result.exit_code == 1 and "`netdsl train FILE --data DATA` makes it" in result.stderr


def test_a_checkpoint_of_another_net_is_told_of_once(folder):
    (folder / "other.net").write_text("net g : x[3, 8, 8] -> y { y = x -> conv(4, 3) @first -> conv(4, 3) @second }\n")
    netdsl.load("other.net").save("other.safetensors")
    result = run("compile", "f.net", "--weights", "other.safetensors")
    assert result.exit_code == 1 and result.stderr.count("error[") == 1
    assert "the checkpoint has none of the 6 parameters of `f`" in result.stderr and "`first.bias`" in result.stderr


def test_of_many_weights_that_do_not_fit_some_are_told_of(folder):
    netdsl.load("f.net", n=6).save("f.safetensors")
    result = run("compile", "f.net", "--set", "widths=[5]", "--set", "n=6", "--weights", "f.safetensors")
    assert result.exit_code == 1 and result.stderr.count("error[") == 5
    assert "8 parameters more do not fit" in result.stderr
