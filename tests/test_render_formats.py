"""Diagnostics for programs: JSON, GitHub's workflow commands and SARIF 2.1.0."""

import json
import os
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from netdsl.diagnostics import Diagnostic, Frame, Label, Source, Span
from netdsl.diagnostics.as_json import to_dict
from netdsl.diagnostics.github import workflow_command
from netdsl.diagnostics.sarif import sarif

NET = Source("nets/a, b: 100%.net", "net f : x[3] -> y {\n    y = x -> 𝒻𝑜𝑜 -> konv(\n        3)\n}\n")


def span(first, last):
    start = NET.text.index(first)
    return Span(NET, start, NET.text.index(last, start) + len(last))


KONV, CALL, NAME = span("konv", "konv"), span("konv", "3)"), span("f", "f")
ERROR = Diagnostic("E0201", "`konv` is\nnot 100% defined", (Label(KONV, "here"), Label(NAME, "in this net"), Label(CALL)),
                   ("a, b: c",), ("did you mean `conv`?",), (Frame("outer", NAME), Frame("inner", CALL)))  # fmt: skip
OVER_LINES = Diagnostic("W0100", "all", (Label(CALL),), severity="warning")
OF_A_FILE = Diagnostic("E0601", "no", path="data set/a.npz")
OF_NOTHING = Diagnostic("N0001", "just so", severity="note")
ALL = [ERROR, OVER_LINES, OF_A_FILE, OF_NOTHING]


def test_json_counts_characters_from_one():
    found = json.loads(json.dumps(to_dict(ERROR)))
    path = NET.path
    assert found["labels"] == [
        {"path": path, "line": 2, "column": 21, "end_line": 2, "end_column": 25, "text": "here"},
        {"path": path, "line": 1, "column": 5, "end_line": 1, "end_column": 6, "text": "in this net"},
        {"path": path, "line": 2, "column": 21, "end_line": 3, "end_column": 11, "text": ""},
    ]
    assert found["chain"] == [{"block": "outer", "path": path, "line": 1}, {"block": "inner", "path": path, "line": 2}]
    assert (found["notes"], found["helps"], found["path"]) == (["a, b: c"], ["did you mean `conv`?"], None)


# GitHub


def read_command(line):
    """A workflow command as GitHub's runner reads it: split at `::`, `,` and `=`, then unescaped."""
    assert line.startswith("::") and "\n" not in line and "\r" not in line
    head, _, data = line[2:].partition("::")
    command, _, listed = head.partition(" ")
    properties = dict(item.split("=", 1) for item in listed.split(","))

    def unescaped(text, *pairs):
        for escape, sign in (("%0D", "\r"), ("%0A", "\n"), *pairs, ("%25", "%")):
            text = text.replace(escape, sign)
        return text

    read = {name: unescaped(value, ("%3A", ":"), ("%2C", ",")) for name, value in properties.items()}
    return command, read, unescaped(data)


def test_workflow_commands():
    assert read_command(workflow_command(ERROR)) == (
        "error",
        {"file": NET.path, "line": "2", "col": "21", "endLine": "2", "endColumn": "25", "title": "E0201"},
        f"`konv` is\nnot 100% defined\n{KONV}: here\n{NAME}: in this net\n"
        f"in block `inner`, applied at {CALL}\nin block `outer`, applied at {NAME}\n"
        "note: a, b: c\nhelp: did you mean `conv`?",
    )
    command, properties, _ = read_command(workflow_command(OVER_LINES))
    assert (command, properties) == ("warning", {"file": NET.path, "line": "2", "endLine": "3", "title": "W0100"})
    assert read_command(workflow_command(OF_A_FILE)) == ("error", {"file": "data set/a.npz", "title": "E0601"}, "no")
    assert workflow_command(OF_NOTHING) == "::notice title=N0001::just so"


@given(st.text(), st.text(min_size=1))
def test_no_text_breaks_out_of_a_workflow_command(message, path):
    labels = (Label(Span(Source(path, "x"), 0, 1)),)
    command, properties, data = read_command(workflow_command(Diagnostic("E0100", message, labels)))
    assert (command, set(properties)) == ("error", {"file", "line", "col", "endLine", "endColumn", "title"})
    assert "\r" not in data and data.count("\n") == message.count("\n")
    if message.isprintable():
        assert data == message


# SARIF: what its schema requires, of the parts that are written


def check_location(location):
    uri = location["physicalLocation"]["artifactLocation"]["uri"]
    assert uri.isascii() and not set(uri) & set(' ,"<>\\^`{|}')
    assert uri.startswith("file:///") or ":" not in uri
    region = location["physicalLocation"].get("region")
    if region is not None:
        assert set(region) == {"startLine", "startColumn", "endLine", "endColumn"}
        assert min(region.values()) >= 1
        assert (region["startLine"], region["startColumn"]) <= (region["endLine"], region["endColumn"])


def check_log(log):
    assert set(log) == {"version", "$schema", "runs"}
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "netdsl" and driver["version"]
    assert run["columnKind"] == "unicodeCodePoints"
    rules = [rule["id"] for rule in driver["rules"]]
    assert len(rules) == len(set(rules))
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        related = result.get("relatedLocations", [])
        assert len({place["id"] for place in related}) == len(related)
        for location in [*result.get("locations", []), *related]:
            check_location(location)
        for stack in result.get("stacks", []):
            for frame in stack["frames"]:
                check_location(frame["location"])
    results = run["results"]
    return results


def test_sarif():
    results = check_log(json.loads(json.dumps(sarif(ALL))))
    first, second, third, fourth = results
    place = first["locations"][0]
    assert unquote(place["physicalLocation"]["artifactLocation"]["uri"]) == NET.path
    assert place["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 21, "endLine": 2, "endColumn": 25}
    assert place["message"]["text"] == "here"
    assert first["message"]["text"].split("\n")[2:] == ["note: a, b: c", "help: did you mean `conv`?"]
    assert [place.get("message") for place in first["relatedLocations"]] == [{"text": "in this net"}, None]
    frames = first["stacks"][0]["frames"]
    assert [frame["location"]["logicalLocations"][0]["name"] for frame in frames] == ["inner", "outer"]
    assert second["locations"][0]["physicalLocation"]["region"]["endLine"] == 3
    assert third["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "data%20set/a.npz"}}}]
    assert "locations" not in fourth
    assert [result["level"] for result in results] == ["error", "warning", "error", "note"]


def test_sarif_says_what_its_rules_are():
    (rule,) = sarif([ERROR])["runs"][0]["tool"]["driver"]["rules"]
    assert rule["shortDescription"]["text"] == "a name that is not defined"
    assert "netdsl explain E0201" in rule["help"]["text"]


def test_sarif_without_results():
    assert check_log(sarif([])) == []


def test_paths_lead_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def uri(path):
        (result,) = check_log(sarif([Diagnostic("E0100", "m", path=path)]))
        found = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        return found

    inside, outside = str(tmp_path / "here" / "é.net"), str(tmp_path / "there.net")
    assert uri(inside) == "%C3%A9.net"
    assert uri(outside) == "file://" + outside
    assert uri("../there.net") == "../there.net"
    assert uri(os.fsdecode(b"\xff.net")) == "%FF.net"
    assert read_command(workflow_command(Diagnostic("E0100", "m", path=inside)))[1]["file"] == "é.net"
