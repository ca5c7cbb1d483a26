"""Mutation testing as a command: what it is asked to do, and what it makes of mutmut's answers."""

import configparser

import mutate
import pytest
from conftest import ROOT
from mutate import Mutant, MutationError

CAUGHT = Mutant("f", "", "", "killed")
SURVIVOR = Mutant("Box.area", "return a * b", "return a / b", "survived")
ACCEPTED = {
    "function": "Box.area",
    "was": "return a * b",
    "becomes": "return a / b",
    "because": "b is 1",
}


def test_every_listed_module_and_test_is_there():
    settings = mutate.read_settings()
    for module, entry in settings.items():
        assert (ROOT / module).is_file() and set(entry) == {"tests", "accepted"}
        for test in entry["tests"]:
            path, _, name = test.partition("::")
            assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8")


def test_an_accepted_mutant_needs_a_reason(tmp_path):
    path = tmp_path / "mutation.toml"
    path.write_text(
        '["a.py"]\ntests = []\naccepted = [{ function = "f", was = "1", becomes = "2" }]'
    )
    with pytest.raises(MutationError, match=r"mutation.toml: a.py: .* lacks \['because'\]"):
        mutate.read_settings(path)


@pytest.mark.parametrize(
    "mutants, accepted, score, faults",
    [
        ([CAUGHT] * 9 + [SURVIVOR], [ACCEPTED], "9 of 10 mutants are caught (90.0%)", []),
        ([CAUGHT] * 9 + [SURVIVOR], [], "9 of 10", ["not caught: Box.area (survived)"]),
        (
            [CAUGHT] * 9 + [SURVIVOR],
            [ACCEPTED | {"becomes": "return a + b"}],
            "9 of 10",
            ["not caught: Box.area", "accepted, but there is no such mutant any more"],
        ),
        ([CAUGHT] * 10, [ACCEPTED], "10 of 10", ["accepted, but there is no such mutant"]),
        ([CAUGHT] * 8 + [SURVIVOR], [ACCEPTED], "8 of 9", ["89% are caught; it must be at least"]),
        ([], [], "0 of 0", ["no mutant was made"]),
        ([Mutant("g", "1", "2", "no tests")], [], "0 of 1", ["not caught: g (no tests)", "0%"]),
        ([Mutant("g", "", "", "timeout")], [], "1 of 1", []),
    ],
)
def test_the_verdict(mutants, accepted, score, faults):
    sentence, found = mutate.judge("helpers/box.py", mutants, accepted)
    assert sentence.startswith("helpers/box.py: ") and score in sentence
    assert len(found) == len(faults)
    assert all(start in fault for start, fault in zip(faults, found, strict=True))


def test_changed_lines_are_read_from_a_diff():
    difference = """# helpers.box.xǁBoxǁarea__mutmut_1: survived
--- helpers/box.py
+++ helpers/box.py
@@ -1,4 +1,3 @@
 def area(self):
-    return (
-        a * b)
+    return a / b
"""
    assert mutate.changed_lines(difference) == ("return ( a * b)", "return a / b")


def test_mutants_have_the_names_of_their_functions(monkeypatch, tmp_path):
    answers = {
        "results": "    helpers.box.x__round__mutmut_1: killed\n"
        "    helpers.box.xǁBoxǁarea__mutmut_12: survived\n",
        "show": "-    return a * b\n+    return a / b\n",
    }
    monkeypatch.setattr(mutate, "mutmut", lambda folder, command, *_: answers[command])
    assert mutate.found(tmp_path) == [Mutant("_round", "", "", "killed"), SURVIVOR]
    answers["results"] += "    helpers.box.xǁBoxǁarea__mutmut_13: not checked\n"
    with pytest.raises(MutationError, match="cut short: 1 not tried"):
        mutate.found(tmp_path)


@pytest.mark.parametrize(
    "module, source, place",
    [
        ("helpers/errors.py", "helpers", "helpers/errors.py"),
        ("tools/kinds.py", "src", "src/kinds.py"),
    ],
)
def test_the_copy_holds_the_module_once_where_mutmut_finds_it(tmp_path, module, source, place):
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "stale.py").touch()
    mutate.lay_out(module, ["tests/test_a.py", "tests/test_b.py"], folder)
    name = module.rpartition("/")[2]
    (path,) = (p for p in folder.rglob(name) if "checks" not in p.parts)
    assert path == folder / place and path.read_bytes() == (ROOT / module).read_bytes()
    parser = configparser.ConfigParser()
    parser.read(folder / "setup.cfg", encoding="utf-8")
    settings = parser["mutmut"]
    assert (settings["source_paths"], settings["only_mutate"]) == (source, place)
    assert settings["pytest_add_cli_args_test_selection"].split() == [
        "tests/test_a.py",
        "tests/test_b.py",
    ]
    copied = settings["also_copy"].split()
    assert {"notebooks", "book", "pyproject.toml", "helpers", "tools"} - {source} <= {*copied}
    assert not {source, "tests"} & {*copied} and not (folder / "stale.py").exists()


def test_a_module_that_is_not_listed_is_named(capsys):
    assert mutate.main(["helpers/boxes.py"]) == 1
    assert "helpers/boxes.py is not in tools/mutation.toml; listed are" in capsys.readouterr().err


@pytest.mark.parametrize("survivors, status", [(0, 0), (1, 1)])
def test_the_exit_status_says_whether_all_passed(monkeypatch, tmp_path, capsys, survivors, status):
    asked = []
    monkeypatch.setattr(mutate, "ROOT", tmp_path)
    monkeypatch.setattr(mutate, "read_settings", lambda: {"a.py": {"tests": [], "accepted": []}})
    monkeypatch.setattr(mutate, "lay_out", lambda *_: None)
    monkeypatch.setattr(mutate, "mutmut", lambda *arguments, stdout: asked.append(arguments))
    monkeypatch.setattr(mutate, "found", lambda _: [CAUGHT] * 19 + [SURVIVOR] * survivors)
    assert mutate.main(["--processes", "3"]) == status
    assert asked == [(tmp_path / "build" / "mutation" / "a", "run", "--max-children", "3")]
    assert ("✗" in capsys.readouterr().out) == bool(status)


def test_a_failure_of_mutmut_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(mutate.sys, "executable", "false")
    with pytest.raises(MutationError, match="mutmut run failed in "):
        mutate.mutmut(tmp_path, "run")
