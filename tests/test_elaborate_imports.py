"""Imports: what a file sees of another, and what is said where an import does not work."""

import os

import pytest
from net_text import at

from netdsl.diagnostics import SourceError
from netdsl.elaborate import Limits, elaborate, elaborate_all, load, read_source

MAIN = 'from "blocks.net" import squeeze\nnet f : x[3, 8, 8] -> y { y = x -> squeeze }\n'
SQUEEZE = "WIDTH = 4\nblock squeeze(n = WIDTH) : x -> y { y = x -> _inner(n) }\nblock _inner(n) : x -> y { y = x -> conv(n, 1) }\n"


def write(folder, **files):
    """Files by name, without `.net`; the path of `main`."""
    for name, text in files.items():
        (folder / f"{name}.net").write_text(text)
    return folder / "main.net"


def errors(path, **options):
    with pytest.raises(SourceError) as caught:
        elaborate(read_source(path), **options)
    return caught.value.diagnostics


def error(path, **options):
    (found,) = errors(path, **options)
    return found


def test_an_imported_block_sees_the_names_of_its_own_file(tmp_path):
    main = write(tmp_path, main="WIDTH = 7\n" + MAIN, blocks=SQUEEZE)
    assert [int(d) for d in load(main).outputs["y"].shape] == [4, 8, 8]


def test_the_path_is_relative_to_the_file_not_to_the_caller(tmp_path):
    (tmp_path / "lib").mkdir()
    write(tmp_path / "lib", blocks='from "../base.net" import squeeze as s\nblock squeeze : x -> y { y = x -> s(5) }')
    main = write(tmp_path, main=MAIN.replace("blocks.net", "lib/blocks.net"), base=SQUEEZE)
    assert int(load(main).outputs["y"].shape[0]) == 5


def test_a_net_and_a_constant_can_be_imported_under_other_names(tmp_path):
    text = (
        'from "tower.net" import tower as t, DEPTH as n\n'
        "net f : x[3, 8, 8], DEPTH[3, 8, 8] -> y { y = (x -> n * conv(3, 3) -> t) + DEPTH }\n"
    )
    main = write(tmp_path, main=text, tower="DEPTH = 2\nnet tower : x[3, 8, 8] -> y { y = x -> conv(3, 3) }\n")
    assert [node.op.name for node in load(main).nodes] == ["conv", "conv", "conv", "add"]


def test_a_file_imported_twice_is_read_once(tmp_path):
    both = 'from "a.net" import a\nfrom "b.net" import b\nnet f : x[3] -> y { y = x -> a -> b }'
    main = write(tmp_path, main=both, a='from "c.net" import c\nblock a : x -> y { y = x -> c }',
                 b='from "c.net" import c\nblock b : x -> y { y = x -> c }', c="block c : x -> y { y = x -> relu }")  # fmt: skip
    assert len(load(main).nodes) == 2


@pytest.mark.parametrize(
    ("line", "code", "place"),
    [
        ('from "none.net" import a', "E0109", '"none.net"'),
        ('from "block.net" import a', "E0109", '"block.net"'),
        ('from "/etc/hostname" import a', "E0109", '"/etc/hostname"'),
        ('from "data.txt" import a', "E0109", '"data.txt"'),
        ("from sdt.residual import a", "E0109", "sdt.residual"),
        ("from std.residuall import a", "E0109", "std.residuall"),
        ("from std import a", "E0109", "std"),
        ('from "blocks.net" import squeze as a', "E0110", "squeze as a"),
    ],
)
def test_what_cannot_be_imported_is_told_once(tmp_path, line, code, place):
    main = write(tmp_path, main=f"{line}\nnet f : x[3] -> y {{ y = x -> a(3) -> relu }}\n", blocks=SQUEEZE)
    found = error(main)
    assert (found.code, at(found)) == (code, place)
    assert found.helps or found.notes


def test_did_you_mean_for_files_and_names(tmp_path):
    main = write(tmp_path, main=MAIN.replace("blocks.net", "block.net"), blocks=SQUEEZE)
    assert "blocks.net" in error(main).helps[0]
    main = write(tmp_path, main=MAIN.replace("squeeze", "squeze"), blocks=SQUEEZE)
    assert error(main).helps == ("did you mean `squeeze`?",)
    assert error(main).notes == ("it declares squeeze, _inner, WIDTH",)


def test_what_a_file_imports_it_does_not_declare(tmp_path):
    main = write(tmp_path, main=MAIN, blocks='from "base.net" import squeeze\n', base=SQUEEZE)
    assert error(main).code == "E0110"
    assert "imported there" in error(main).helps[0]


def test_a_circle_shows_every_file_of_it(tmp_path):
    main = write(tmp_path, main='from "a.net" import a\nnet f : x[3] -> y { y = x -> a }',
                 a='from "b.net" import b\nblock a : x -> y { y = x -> b }',
                 b='from "a.net" import a\nblock b : x -> y { y = x -> a }')  # fmt: skip
    found = error(main)
    assert found.code == "E0111"
    assert [os.path.basename(label.span.source.path) for label in found.labels] == ["b.net", "a.net"]
    main = write(tmp_path, main='from "main.net" import g\nnet f : x[3] -> y { y = x }')
    assert error(main).code == "E0111"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ('from "blocks.net" import squeeze as conv', "E0209", "squeeze as conv"),
        ('from "blocks.net" import WIDTH as squeeze', "E0105", "WIDTH as squeeze"),
        ("block squeeze : x -> y { y = x }", "E0105", "squeeze"),
        ("squeeze = 3", "E0105", "squeeze"),
        ("block b(squeeze) : x -> y { y = x }", "E0209", "squeeze"),
        ("block b : squeeze -> y { y = squeeze }", "E0209", "squeeze"),
        ("net g : x[3] -> y { squeeze = x\n y = x }", "E0209", "squeeze"),
        ("net g : x[3] -> y { squeeze[0] = x\n y = x }", "E0209", "squeeze[0]"),
        ("net g : x[3] -> y { for squeeze in [1] { y = x } }", "E0209", "squeeze"),
    ],
)  # fmt: skip
def test_an_imported_name_cannot_be_bound(tmp_path, text, code, place):
    main = write(tmp_path, main=MAIN + text + "\n", blocks=SQUEEZE)
    with pytest.raises(SourceError) as caught:
        elaborate_all(read_source(main))
    found = caught.value.diagnostics[0]
    assert (found.code, at(found)) == (code, place)
    assert any("imported" in label.text or "first" in label.text for label in found.labels) or code == "E0209"


def test_errors_in_an_imported_file_name_both_files(tmp_path):
    main = write(tmp_path, main=MAIN, blocks="block squeeze : x -> y { y = x -> }\n")
    found = error(main)
    assert found.code == "E0101"
    assert [os.path.basename(label.span.source.path) for label in found.labels] == ["blocks.net", "main.net"]
    main = write(tmp_path, main=MAIN, blocks="block squeeze : x -> y { y = x -> konv(3) }\n")
    found = error(main)
    assert os.path.basename(found.labels[0].span.source.path) == "blocks.net"
    assert [frame.block for frame in found.chain] == ["squeeze"]


def test_a_file_of_a_newer_version_cannot_be_imported(tmp_path):
    assert error(write(tmp_path, main=MAIN, blocks="syntax 7\n" + SQUEEZE)).code == "E0108"


def test_errors_of_several_imports_come_in_one_run(tmp_path):
    text = 'from "a.net" import a\nfrom "none.net" import b\nnet f : x[3] -> y { y = x -> a -> b -> konv }'
    main = write(tmp_path, main=text, a="block a(n : x -> y { y = x }")
    assert sorted(found.code for found in errors(main)) == ["E0101", "E0109", "E0201"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "blocks.net")
    assert "not a file" in error(write(tmp_path, main=MAIN)).message


def test_a_name_of_the_library_gets_its_import_as_help(tmp_path):
    from netdsl.elaborate.sources import std_names

    names = std_names()
    if not names:
        pytest.skip("the library is empty")
    name, module = next(iter(names.items()))
    main = write(tmp_path, main=f"net f : x[3] -> y {{ y = x -> {name}(3) }}")
    assert f"from std.{module} import {name}" in error(main).helps[0]


def test_the_number_of_files_is_bounded(tmp_path):
    files = {f"a{i}": f'from "a{i + 1}.net" import a\nblock a{i} : x -> y {{ y = x }}' for i in range(9)}
    main = write(tmp_path, main='from "a0.net" import a0\nnet f : x[3] -> y { y = x -> a0 }', a9="a = 1", **files)
    found = errors(main, limits=Limits(files=5))
    assert found[-1].code == "E0450" and "NETDSL_MAX_FILES" in found[-1].helps[0]


def test_all_nets_of_a_file(tmp_path):
    text = "net f : x[3] -> y { y = x -> konv }\nnet g : x[3] -> y { y = x -> relu }\nnet h : x[3] -> y { y = x -> dens(3) }"
    main = write(tmp_path, main=text)
    with pytest.raises(SourceError) as caught:
        elaborate_all(read_source(main))
    assert [at(found) for found in caught.value.diagnostics] == ["konv", "dens"]


def test_a_file_of_blocks_is_looked_through(tmp_path):
    assert elaborate_all(read_source(write(tmp_path, main=SQUEEZE))) == []
    with pytest.raises(SourceError) as caught:
        elaborate_all(read_source(write(tmp_path, main=SQUEEZE.replace("conv(n", "konv(m"))))
    assert [at(found) for found in caught.value.diagnostics] == ["konv", "m"]


def test_a_path_with_a_zero_byte_is_told(tmp_path):
    found = error(write(tmp_path, main=MAIN.replace("blocks.net", "a\0.net")))
    assert found.code == "E0109"
    assert "embedded null byte" in found.message
