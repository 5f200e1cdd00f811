"""Random files: formatting keeps their tree and their comments, and changes nothing when it is done again."""


import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from net_generator import net_files
from test_format import NET_FILES

from netdsl.diagnostics import Source
from netdsl.format import align, breaks, format_source, layout, pieces, settle, writer
from netdsl.format.diff import unified_diff
from netdsl.syntax import parse
from netdsl.syntax.comments import comments
from netdsl.syntax.tree import Node

quick = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def shown(part):
    """A tree as nested tuples, without the places it was read from; told apart as values and as types."""
    if isinstance(part, Node):
        slots = [slot for slot in type(part).__slots__ if slot not in ("span", "name_span", "path_span", "source")]
        return (type(part).__name__, *(shown(getattr(part, slot)) for slot in slots))
    if isinstance(part, (list, tuple)):
        return tuple(map(shown, part))
    return type(part).__name__, repr(part)


@quick
@given(net_files())
def test_formatting_keeps_a_file(text):
    source = Source("test.net", text)
    before = shown(parse(source))
    after = Source("test.net", format_source(source))
    assert shown(parse(after)) == before
    assert [span.text for span in comments(after)] == [span.text for span in comments(source)]
    assert format_source(after) == after.text
    lines = after.text.split("\n")
    assert lines.pop() == "" and all(line == line.rstrip() and "\t" not in line.partition("#")[0] for line in lines)


@pytest.mark.parametrize("limit", [30, 55, 67, 82, 100])
def test_files_of_the_project_on_narrower_lines(limit, monkeypatch):
    """Most of their lines fit: narrower ones show more of where lines are broken."""
    for module in (align, breaks, layout, pieces, settle, writer):
        monkeypatch.setattr(module, "LIMIT", limit)
    for path in NET_FILES:
        narrow = Source(str(path), format_source(Source(str(path), path.read_text(encoding="utf-8"))))
        assert format_source(narrow) == narrow.text


@quick
@given(net_files())
def test_a_diff_turns_a_file_into_the_formatted_one(text):
    after = format_source(Source("test.net", text))
    assert patched(text, unified_diff("test.net", text, after)) == after


LINES = st.lists(st.sampled_from(["a", "b = 1", "", ")", "c, d", "e"]), max_size=30)


@given(LINES, LINES)
def test_a_diff_of_any_two_texts(before, after):
    old, new = "\n".join(before), "\n".join(after)
    assert patched(old, unified_diff("test.net", old, new)) == new


def test_a_diff_shows_three_lines_around_a_change():
    new = "".join(f"A{i} = {i}\n" for i in range(30))
    old = new.replace("A10 = 10", "A10=10").replace("A20", "\nA20")
    assert list(unified_diff("f.net", old, new)) == [
        "--- f.net", "+++ f.net",
        "@@ -8,7 +8,7 @@", " A7 = 7", " A8 = 8", " A9 = 9", "-A10=10", "+A10 = 10", " A11 = 11", " A12 = 12", " A13 = 13",
        "@@ -18,7 +18,6 @@", " A17 = 17", " A18 = 18", " A19 = 19", "-", " A20 = 20", " A21 = 21", " A22 = 22",
    ]  # fmt: skip


_NO_END = "\n\\ No newline at end of file"


def patched(text, diff):
    """What a patch makes of a text, where its hunks are where they say."""
    *old, last = text.split("\n")
    old += [last + _NO_END] if last else []
    new = []
    at = 0
    for line in list(diff)[2:]:
        if line.startswith("@@"):
            (start, count), (new_start, new_count) = (map(int, part[1:].split(",")) for part in line.split()[1:3])
            new += old[at : start - (count > 0)]
            at = start - (count > 0)
            assert len(new) == new_start - (new_count > 0)
            continue
        assert line[0] == "+" or old[at] == line[1:]
        at += line[0] != "+"
        new += [line[1:]] if line[0] != "-" else []
    return "".join(f"{line}\n" for line in new + old[at:]).removesuffix(_NO_END + "\n")
