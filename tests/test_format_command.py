"""`netdsl fmt`: what is written where, what is said, and with which exit code."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from netdsl.cli import main

GOOD, BAD, WRONG = "A = 1\n", "A=1\n", "A = (\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    files = {"good.net": GOOD, "bad.net": BAD, "wrong.net": WRONG, "below/bad.net": BAD, "notes.txt": BAD}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def fmt(*arguments, text=""):
    result = CliRunner().invoke(main, ["fmt", *arguments], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_files_are_formatted_in_place(folder):
    result = fmt("good.net", "bad.net")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "1 file reformatted, 1 file left unchanged\n")
    assert (folder / "bad.net").read_text() == GOOD
    assert fmt("good.net", "bad.net").stderr == "2 files left unchanged\n"
    assert sorted(os.listdir(folder)) == ["bad.net", "below", "good.net", "notes.txt", "wrong.net"]


def test_a_formatted_file_is_not_written(folder):
    before = (folder / "good.net").stat()
    fmt("good.net")
    after = (folder / "good.net").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_folders_stand_for_the_net_files_below_them(folder):
    (folder / "wrong.net").unlink()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "bad.net").write_text(BAD)
    assert fmt(".", "bad.net").stderr == "2 files reformatted, 1 file left unchanged\n"
    assert (folder / "below" / "bad.net").read_text() == GOOD
    assert (folder / "notes.txt").read_text() == (folder / ".hidden" / "bad.net").read_text() == BAD
    (folder / "empty").mkdir()
    result = fmt("empty")
    assert (result.exit_code, result.stderr) == (0, "empty: no .net files\n")


def test_check_names_what_would_change_and_writes_nothing(folder):
    result = fmt("--check", "good.net", "bad.net", "below")
    assert result.exit_code == 1
    assert result.stdout == f"would reformat: bad.net\nwould reformat: {Path('below/bad.net')}\n"
    assert result.stderr == "2 files would be reformatted, 1 file already formatted\n"
    assert (folder / "bad.net").read_text() == BAD
    assert fmt("--check", "good.net").exit_code == 0


def test_diff_shows_what_would_change_and_writes_nothing(folder):
    result = fmt("--diff", "good.net", "bad.net")
    assert (result.exit_code, result.stdout) == (1, "--- bad.net\n+++ bad.net\n@@ -1,1 +1,1 @@\n-A=1\n+A = 1\n")
    assert result.stderr == "1 file would be reformatted, 1 file already formatted\n"
    assert (folder / "bad.net").read_text() == BAD
    result = fmt("--diff", "--check", "good.net")
    assert (result.exit_code, result.stdout) == (0, "")


def test_stdin_goes_to_stdout():
    for text in (GOOD, BAD):
        result = fmt("-", text=text)
        assert (result.exit_code, result.stdout, result.stderr) == (0, GOOD, "")
    assert fmt("-", text="# ünïcödé ∂").stdout_bytes == "# ünïcödé ∂\n".encode()
    result = fmt("--check", "-", text=BAD)
    assert (result.exit_code, result.stdout) == (1, "would reformat: <stdin>\n")
    result = fmt("-", text=WRONG)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "<stdin>:1:5" in result.stderr


@pytest.mark.parametrize("options", [[], ["--check"], ["--diff"]])
def test_a_file_with_a_syntax_error_is_left_and_others_are_formatted(folder, options):
    result = fmt("wrong.net", "none.net", "bad.net", *options)
    assert result.exit_code == 1
    assert "error[E0101]" in result.stderr and "wrong.net:1:5" in result.stderr and "error[E0100]" in result.stderr
    assert "2 files could not be formatted" in result.stderr
    assert (folder / "wrong.net").read_text() == WRONG
    assert (folder / "bad.net").read_text() == (BAD if options else GOOD)


def test_bytes_that_are_no_text(folder):
    (folder / "bad.net").write_bytes(b"\xff\xfe")
    result = fmt("bad.net")
    assert result.exit_code == 1 and "not UTF-8" in result.stderr
    assert "not UTF-8" in fmt("-", text=b"\xff").stderr


def test_byte_order_marks_and_line_ends_of_windows_go(folder):
    (folder / "bad.net").write_bytes(b"\xef\xbb\xbfA=1 # a\r\nB = 2\r\n")
    assert fmt("bad.net").exit_code == 0
    assert (folder / "bad.net").read_bytes() == b"A = 1".ljust(46) + b"# a\nB = 2\n"


def test_permissions_and_links_stay(folder):
    (folder / "bad.net").chmod(0o640)
    (folder / "link.net").symlink_to("bad.net")
    assert fmt("link.net").exit_code == 0
    assert (folder / "link.net").is_symlink()
    assert stat.S_IMODE((folder / "bad.net").stat().st_mode) == 0o640
    assert (folder / "bad.net").read_text() == GOOD


@pytest.mark.skipif(os.name == "nt" or os.getuid() == 0, reason="root may write all files")
def test_a_file_that_may_not_be_written_is_told(folder):
    (folder / "bad.net").chmod(0o444)
    result = fmt("bad.net", "below")
    assert result.exit_code == 1 and "error[E0903]" in result.stderr
    assert (folder / "bad.net").read_text() == BAD
    assert (folder / "below" / "bad.net").read_text() == GOOD


def test_a_disk_that_takes_nothing_is_told(folder, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("netdsl.cli.fmt.atomic_write", full)
    result = fmt("bad.net")
    assert result.exit_code == 1 and "bad.net" in result.stderr and "No space left on device" in result.stderr


def test_the_command_line():
    assert fmt().exit_code == 2
    assert fmt("--indent", "2", "good.net").exit_code == 2
    assert "Format files in place" in fmt("--help").stdout
