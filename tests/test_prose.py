"""Prose that follows the results: what is written, what is refused, and what is left alone."""

import json
import shutil
from html.parser import HTMLParser

import catalogue
import gate
import nbformat
import prose
import publish
import pytest
from catalogue import Project
from conftest import ROOT

OWN = {
    "M_no": {"train_seconds": 446.4, "test_accuracy": 0.9899, "steps": 30000},
    "M_max": {"train_seconds": 140.9, "test_accuracy": 0.9931, "steps": 30000},
    "difference": -0.0032,
    "nothing": -0.00001,
    "accuracies": [0.99, 0.992, 0.991],
    "strengths": {"0.1": 0.5, "1e-05": 0.25},
    "chosen": "faster, shift 1",
    "verdict": "learned",
    "diverged": float("inf"),
    "is_real": True,
}
NAMES = OWN | {"hw7": OWN}
NO_BREAK = "\u00a0"


def written(text):
    """Return what a faultless text becomes, and make sure that it then stays so."""
    reading = prose.read(text, NAMES, {})
    assert reading.faults == []
    again = prose.read(reading.text, NAMES, {})
    assert (again.text, again.drifted, again.faults) == (reading.text, [], [])
    return reading.text


def refusals(text):
    """Return the refusals of a text, drifted numbers apart."""
    return [str(fault) for fault in prose.read(text, NAMES, {"list": "- one"}).faults]


def quantities(text):
    """Return the numbers with a unit in a text that carry no stamp."""
    reading = prose.read(text, NAMES, {})
    return [" ".join(reading.base[start:end].split()) for start, end in reading.unstamped]


# --- stamps are written


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("takes **1**<!-- {r} | .1f --> times", "takes **3.2**<!-- {r} | .1f --> times"),
        ("takes *1*<!-- {r} | .1f --> times", "takes *3.2*<!-- {r} | .1f --> times"),
        ("takes **about 1**<!-- {r} | .1f -->", "takes **about 3.2**<!-- {r} | .1f -->"),
        ("takes `1`<!-- {r} | .1f -->", "takes `3.2`<!-- {r} | .1f -->"),
        ("takes ?<!-- {r} | .1f --> times", "takes 3.2<!-- {r} | .1f --> times"),
        ("In 1998 1<!-- {r} | .1f -->", "In 1998 3.2<!-- {r} | .1f -->"),
        ("1<!--{r}|.1f-->", "3.2<!--{r}|.1f-->"),
        ("1<!-- {r}\n| .1f -->", "3.2<!-- {r}\n| .1f -->"),
        ("(1<!-- {r} | .1f -->)", "(3.2<!-- {r} | .1f -->)"),
        ("a 1<!-- M_no.steps | , --> b", "a 30~000<!-- M_no.steps | , --> b"),
        ("a 29 000<!-- M_no.steps | , --> b", "a 30~000<!-- M_no.steps | , --> b"),
        ("a 29,000<!-- M_no.steps | , --> b", "a 30~000<!-- M_no.steps | , --> b"),
        ("a 29\u202f000<!-- M_no.steps | d -->", "a 30000<!-- M_no.steps | d -->"),
        ("98 %<!-- M_max.test_accuracy | .2% -->", "99.31~%<!-- M_max.test_accuracy | .2% -->"),
        (
            "**98%**<!-- M_max.test_accuracy | .1% -->",
            "**99.3~%**<!-- M_max.test_accuracy | .1% -->",
        ),
        ("98<!-- M_max.test_accuracy | .1% -->", "99.3~%<!-- M_max.test_accuracy | .1% -->"),
        (
            "by 1<!-- 100 * difference | .1f --> points",
            "by −0.3<!-- 100 * difference | .1f --> points",
        ),
        ("by -5<!-- 100 * difference | .1f -->", "by −0.3<!-- 100 * difference | .1f -->"),
        ("by −5<!-- -100 * difference | +.1f -->", "by +0.3<!-- -100 * difference | +.1f -->"),
        ("by 5<!-- nothing | .1f -->", "by 0.0<!-- nothing | .1f -->"),
        ("LeNet-5<!-- {r} | .0f -->", "LeNet-3<!-- {r} | .0f -->"),
        ("1–2<!-- {r} | .0f -->", "1–3<!-- {r} | .0f -->"),
        ("1-2<!-- {r} | .0f -->", "1-3<!-- {r} | .0f -->"),
        (
            "1<!-- {r} | .0f -->–2<!-- {r} | .1f --> and 9<!-- hw7.M_no.steps | , -->.",
            "3<!-- {r} | .0f -->–3.2<!-- {r} | .1f --> and 30~000<!-- hw7.M_no.steps | , -->.",
        ),
        ("1<!-- mean(accuracies) | .3f -->", "0.991<!-- mean(accuracies) | .3f -->"),
        ("1<!-- spread(accuracies) | .3f -->", "0.001<!-- spread(accuracies) | .3f -->"),
        ("1<!-- max(strengths) | .1f -->", "0.5<!-- max(strengths) | .1f -->"),
        (
            "1<!-- max(1, 2) - min(accuracies) | .2f -->",
            "1.01<!-- max(1, 2) - min(accuracies) | .2f -->",
        ),
        ("1<!-- len(accuracies) | d -->", "3<!-- len(accuracies) | d -->"),
        ("1<!-- accuracies[1] | .3f -->", "0.992<!-- accuracies[1] | .3f -->"),
        ('1<!-- strengths["1e-05"] | .2f -->', '0.25<!-- strengths["1e-05"] | .2f -->'),
        ("it *forgot*<!-- verdict | s -->", "it *learned*<!-- verdict | s -->"),
        ("it (forgot<!-- verdict | s -->)", "it (learned<!-- verdict | s -->)"),
        ("took **slower**<!-- chosen | s -->", "took **faster, shift 1**<!-- chosen | s -->"),
        ("took `slower`<!-- chosen | s -->", "took `faster, shift 1`<!-- chosen | s -->"),
        (
            "| a | b |\n| - | - |\n| 1<!-- {r} \\| .1f --> s | 2 |",
            "| a | b |\n| - | - |\n| 3.2<!-- {r} \\| .1f --> s | 2 |",
        ),
        ("- é ✓ „x“ 1<!-- {r} | .1f -->", "- é ✓ „x“ 3.2<!-- {r} | .1f -->"),
        ("```{note}\n1<!-- {r} | .1f -->\n```", "```{note}\n3.2<!-- {r} | .1f -->\n```"),
    ],
)
def test_a_stamp_writes_the_value_before_it(before, after):
    ratio = "M_no.train_seconds / M_max.train_seconds"
    before, after = (text.replace("{r}", ratio) for text in (before, after))
    assert written(before) == after.replace("~", NO_BREAK)


@pytest.mark.parametrize(
    "text",
    [
        "```\n1<!-- nobody | .1f --> s, 3 %\n```",
        "~~~markdown\n1<!-- nobody | .1f --> s, 3 %\n~~~",
        "- item\n\n  ```\n  1<!-- nobody | .1f --> s, 3 %\n  ```",
        "Indented:\n\n    1<!-- nobody | .1f --> s, 3 %",
        "Inline `1<!-- nobody | .1f --> s, 3 %` code",
        "Inline ``1 ` <!-- nobody | .1f --> s, 3 %`` code",
        "```{code-block} markdown\n1<!-- nobody | .1f --> s, 3 %\n```",
        "$1<!-- nobody | .1f --> s, 3 %$ and $$3 \\% <!-- x -->\n$$",
        "<!-- note: 3 % of nobody | .1f -->",
    ],
)
def test_code_and_formulas_and_remarks_are_left_alone(text):
    assert written(text) == text
    assert quantities(text) == []


def test_prose_behind_code_is_read_all_the_same():
    text = "A stray ` tick.\n\n```\n` 3 %\n```\n\nThen 1<!-- M_no.steps | , -->, or so, and 4 %."
    assert "30\u00a0000" in written(text)
    assert quantities(text) == ["4 %"]


def test_a_drifted_number_is_told_with_its_sentence():
    text = "First. Here it is **98.0 %**<!-- M_max.test_accuracy | .1% -->, as said. Last."
    (drifted,) = prose.read(text, NAMES, {}).drifted
    assert str(drifted) == (
        "“Here it is **98.0 %**, as said.”: says 98.0 %, the results say 99.3\u00a0%: "
        "run python tools/prose.py"
    )
    (drifted,) = prose.read("a 30 000<!-- M_no.steps | , -->", NAMES, {}).drifted
    assert "not written as its format has it" in str(drifted)


# --- what is refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1<!-- M_nо.steps | , -->", "no notebook is called 'M_nо'"),  # the о is Cyrillic
        ("1<!-- M_no.step | , -->", "no entry 'step'; there are: 'train_seconds', 'test_accuracy'"),
        ("1<!-- hw8.M_no.steps | , -->", "no notebook is called 'hw8'"),
        ("1<!-- accuracies[3] | .1f -->", "no entry 3; it has 3 entries"),
        ("1<!-- verdict.upper() | s -->", "'learned' is not a table"),
        ("1<!-- M_no.items | s -->", "there is no entry 'items'"),
        ("1<!-- M_no.steps +  | , -->", "is not an expression"),
        ("1<!-- M_no.steps }} {{ 1 | , -->", "is not an expression"),
        ("1<!-- M_no.steps|round | , -->", "is not an expression: No filter named 'round'"),
        ("1<!-- open('x') | s -->", "no notebook is called 'open'"),
        ("1<!-- M_no.steps / 0 | .1f -->", "cannot be computed: division by zero"),
        ("1<!-- M_no.steps + verdict | .1f -->", "cannot be computed"),
        ("1<!-- spread([1]) | .1f -->", "cannot be computed"),
        ("1<!-- M_no | .1f -->", "not a number or a name"),
        ("1<!-- is_real | .1f -->", "the result is True, not a number"),
        ("1<!-- diverged | .1f -->", "writes 'inf', which is not a plain number"),
        ("1<!-- nothing | .1e -->", "which is not a plain number"),
        ("1<!-- nothing | 9.1f -->", "which is not a plain number"),
        ("1<!-- verdict | .1f -->", "its format is s"),
        ("1<!-- M_no.steps | s -->", "'s' is no format for 30000"),
        ("1<!-- M_no.steps | .1q -->", "'.1q' is no format"),
        ("a<!-- chosen | s -->", "is not one word: put it between ** **"),
        ("1<!-- M_no.steps -->", "neither a stamp (EXPRESSION | FORMAT) nor a condition"),
        ("1<!-- | , -->", "neither a stamp"),
        ("1<!-- M_no.steps | -->", "neither a stamp"),
        ("Text. <!-- hold: M_no.steps > 3 -->", "neither a stamp"),
        ("Text. <!-- TODO -->", "neither a stamp"),
        ("1 s<!-- M_no.steps | , -->", "directly behind a number, to be written 30\u00a0000"),
        ("1 <!-- M_no.steps | , -->", "directly behind a number"),
        ("99 %<!-- M_no.steps | , -->", "directly behind a number"),
        ("v1.2<!-- M_no.steps | , -->", "directly behind a number"),
        ("text\n1\n<!-- M_no.steps | , -->", "directly behind a number"),
        ("9<!-- M_no.test_accuracy | .1% --> %", "writes the per cent sign before the comment"),
        ("| a |\n| - |\n| 1<!-- M_no.steps | , --> |", "in a table, where | is written \\|"),
        ("Text. <!-- note: never closed", "never ends with -->"),
        ("A sentence\n<!-- holds: 1 < 2 -->\nthat goes on.", "ends the paragraph there"),
        ("A sentence.\n\n<!-- holds: 1 < 2 --> And raw.", "ends the paragraph there"),
        ("Better. <!-- holds: M_no.steps > 30000 -->", "no longer holds that M_no.steps > 30000"),
        ("Better. <!-- holds: M_no.steps -->", "neither true nor false"),
        ("Better. <!-- holds: M_nothing.steps > 3 -->", "no notebook is called 'M_nothing'"),
        ("Better. <!-- holds: M_no.step > 3 -->", "no entry 'step'"),
        ("Better. <!-- holds: -->", "is not an expression"),
        ("<!-- block: lists -->\n<!-- end of block -->", "no such block; there are: list"),
        ("<!-- block: list -->\n- one", "the block has no end of block"),
        ("- one\n\n<!-- end of block -->", "no block: NAME before it"),
        ("<!-- block: list -->\n\n<!-- block: list -->\n<!-- end of block -->", "has no end of"),
    ],
)
def test_what_cannot_be_followed_is_refused_in_a_sentence(text, reason):
    (refusal,) = refusals(text)
    assert reason in refusal and "\n" not in refusal
    assert prose.read(text, NAMES, {"list": "- one"}).text in (
        text,
        text.replace("-->\n<!--", "-->\n- one\n<!--"),
    )


def test_a_refusal_names_the_sentence():
    text = "## Time\n\nFirst one. Pooling is\nfaster (*much*). <!-- holds: 1 > 2 -->\n\nLast one."
    assert refusals(text) == [
        "“Pooling is faster (*much*).”: it no longer holds that 1 > 2: rewrite the sentence, "
        "and the condition with it"
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Better. <!-- holds: M_no.steps >= 30000 and hw7.difference < 0 -->",
        "Better.\n\n<!-- holds: M_no.steps == M_max.steps == 30000 -->\n\nAnd so on.",
        "- Better.\n  <!-- holds: max(accuracies) > spread(accuracies) / 2 -->\n- Item",
        "Better.\n<!-- holds: verdict == 'learned' and 'x' not in strengths -->",
        "Better. <!-- holds: accuracies == [0.99, 0.992, 0.991] and\nnot is_real == false -->",
    ],
)
def test_a_condition_that_holds_is_left_alone(text):
    assert written(text) == text


# --- numbers with a unit


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It reaches 99.3 %.", ["99.3 %"]),
        ("It reaches **99.3**\u202f%.", ["99.3** %"]),
        ("It reaches 99.3% of", ["99.3%"]),
        ("by 0.3 percentage points", ["0.3 percentage points"]),
        ("by 2 points", ["2 points"]),
        ("in 3 s.", ["3 s"]),
        ("in 3\ns.", ["3 s"]),
        ("in 3.5s.", ["3.5s"]),
        ("in 20 ms, 5 min or 12 µs", ["20 ms", "5 min", "12 µs"]),
        ("in 5 minutes and 2 hours", ["5 minutes", "2 hours"]),
        ("a 30-second run", ["30-second"]),
        ("8 GB and 512 KiB", ["8 GB", "512 KiB"]),
        ("3.2 times as long, 3.2× as long", ["3.2 times", "3.2×"]),
        ("3.2 × as long", ["3.2 ×"]),
        ("3.2x as long, but 28x28", ["3.2x"]),
        ("1,5 % and .5 %", ["1,5 %", "5 %"]),
        (
            "1 200 images per second, 60 steps a second",
            ["1 200 images per second", "60 steps a second"],
        ),
        ("1200 images/s", ["1200 images/s"]),
        ("3–5 %, 3 to 5 %, 3 % to 5 %", ["3–5 %", "3 to 5 %", "3 %", "5 %"]),
        ("97.1 ± 0.4 % or 97.1 (± 0.4)", ["97.1 ± 0.4 %", "± 0.4"]),
        ("−0.3 %", ["−0.3 %"]),
        ("| 3 s | 4 % |", ["3 s", "4 %"]),
        ("[a 3 % gain](http://x.org/5%)", ["3 %"]),
        ("3–5<!-- M_no.steps | d --> %", ["3–5<!-- M_no.steps | d --> %"]),
        ("5<!-- M_no.steps | d --> to 3 %", ["5<!-- M_no.steps | d --> to 3 %"]),
        ("# It takes 3 s [25 points]", ["3 s"]),
        ("A paragraph with 25 points", ["25 points"]),
        # Neither a unit nor a result:
        ("in 1998, of 28 × 28 pixels, 5 × $n$, 30 000 steps", []),
        ("all 3s and 8s of the 1990s", []),
        ("## (b) Time [25 points] and [bonus, 6 points]", []),
        ("### Q9 [2 + 2 + 3 points]: what", []),
        ("$3$ %, $3\\,\\%$, `3 %`, [x](a%20b_3%), <img width='50%'>", []),
        ("see https://example.org/3%25 and figure 3.\n\nMinutes later", []),
        ("**3**<!-- M_no.steps | d --> times, 3<!-- M_no.steps | .1% -->", []),
        ("3<!-- M_no.steps | d -->–4<!-- M_no.steps | d --> s", []),
        ("```{list-table}\n* - 3 × 3\n```", []),
        ("```{list-table}\n* - 3 %\n```", ["3 %"]),
    ],
)
def test_numbers_with_a_unit_are_found(text, found):
    assert quantities(text) == found


# --- in a project


def change_cell(path, change, cell_id="summary"):
    """Change the source of one Markdown cell of a notebook's file."""
    catalogue.rewrite_cells(
        path, lambda cell, text: change(text) if cell["id"] == cell_id else text
    )


def add(project, text):
    """Add a sentence to the summary of the sample notebook, in its source and its copy."""
    for path in (project.source("sample"), project.copy("sample")):
        change_cell(path, lambda old: f"{old}\n\n{text}")


def add_to_page(project, name, text):
    """Add a sentence to a page."""
    with (project.root / name).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


def snapshot(project):
    """Return every file of a project with its bytes."""
    return {file: file.read_bytes() for file in project.root.rglob("*") if file.is_file()}


PAGES = ("README.md", "book/index.md", "book/data.md")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "It took 9<!-- {}model.train_seconds | .1f --> s.",
            "says 9, the results say 1.5: run pyt",
        ),
        ("It was bad. <!-- holds: {}model.test_accuracy < 0.9 -->", "no longer holds that"),
        ("It took 9<!-- {}model.seconds | .1f --> s.", "no entry 'seconds'; there are: 'steps'"),
        ("It took 9<!-- {}model.train_seconds / | .1f --> s.", "is not an expression"),
        ("It took 1.5 s.", "1.5 s carries no stamp"),
    ],
)
@pytest.mark.parametrize("place", ["the notebook", *PAGES])
def test_the_gate_refuses_prose_that_the_results_do_not_bear_out(project, place, text, reason):
    assert gate.book_faults(project) == []
    if place == "the notebook":
        add(project, text.format(""))
        (fault,) = gate.book_faults(project)
        assert fault.startswith("sample: cell summary: “It ")
    else:
        add_to_page(project, place, text.format("sample."))
        (fault,) = gate.book_faults(project)
        assert fault.startswith(f"{place}: “It ")
    assert reason in fault


def test_writing_mends_drifted_numbers_everywhere_and_keeps_the_run_fresh(project):
    stamp = "It took 9<!-- {}model.train_seconds | .1f --> s."
    add(project, stamp.format("") + " Again " + stamp.format("sample."))
    for name in PAGES:
        add_to_page(project, name, stamp.format("sample."))
    assert len(gate.book_faults(project)) == 2 + len(PAGES)
    changed = prose.write(project)
    assert {path.name for path in changed} == {"README.md", "index.md", "data.md", "sample.ipynb"}
    assert gate.book_faults(project) == []
    assert publish.state(project, project.entry("sample")) == "fresh"
    assert "took 1.5<!--" in project.copy("sample").read_text(encoding="utf-8")
    before = snapshot(project)
    assert prose.write(project) == []
    assert snapshot(project) == before


def test_publishing_writes_the_new_numbers_into_source_copy_and_pages(project):
    add(project, "It took 1.5<!-- model.train_seconds | .1f --> s.")
    add_to_page(project, "README.md", "It took 1.5<!-- sample.model.train_seconds | .1f --> s.")
    change_cell(project.source("sample"), lambda text: text.replace("1.5}", "2.5}"), "body")
    publish.publish(project, project.entry("sample"))
    for path in (project.source("sample"), project.copy("sample"), project.root / "README.md"):
        assert "took 2.5<!--" in path.read_text(encoding="utf-8")
    assert gate.book_faults(project) == []


def test_a_new_sentence_with_a_stamp_needs_no_run(project, monkeypatch):
    monkeypatch.setattr(publish, "execute", None)
    change_cell(
        project.source("sample"),
        lambda text: text + "\n\nIt took ?<!-- model.train_seconds | .1f --> s.",
    )
    ((action, entry, _),) = publish.plan(project, "default")
    action(project, entry)
    assert "took 1.5<!--" in project.source("sample").read_text(encoding="utf-8")
    assert gate.book_faults(project) == []


def test_writing_leaves_a_stale_copy_stale(project):
    add(project, "It took 9<!-- model.train_seconds | .1f --> s.")
    change_cell(project.source("sample"), lambda text: text + "\npass", "body")
    assert len(prose.write(project)) == 2
    assert publish.state(project, project.entry("sample")) == "stale"
    assert any("cells: body" in fault for fault in gate.book_faults(project))


def test_a_statement_that_a_run_makes_false_keeps_the_run_and_stops_the_site(project):
    add(project, "It was quick.<!-- holds: model.train_seconds < 2 -->")
    change_cell(project.source("sample"), lambda text: text.replace("1.5}", "2.5}"), "body")
    publish.publish(project, project.entry("sample"))
    assert publish.state(project, project.entry("sample")) == "fresh"
    with pytest.raises(publish.Refused, match="“It was quick.”: it no longer holds"):
        publish.book(project, "default")


def test_what_a_benchmark_saved_has_a_name_in_pages_and_notebooks(project):
    results = project.root / "benchmarks" / "results"
    results.mkdir(parents=True)
    (results / "speed.json").write_text('{"ratios": {"ours": 0.52}}', encoding="utf-8")
    (results / "broken.json").write_text("{", encoding="utf-8")
    sentence = "Ours takes ?<!-- benchmarks.speed.ratios.ours | .2f --> of theirs."
    add(project, sentence)
    add_to_page(project, "README.md", sentence)
    prose.write(project)
    assert prose.faults(project) == []
    for path in (project.root / "README.md", project.source("sample"), project.copy("sample")):
        assert "takes 0.52<!-- benchmarks.speed" in path.read_text(encoding="utf-8")
    add_to_page(project, "README.md", "9<!-- benchmarks.broken.ratios.ours | .2f -->")
    assert "no entry 'broken'; there are: 'speed'" in "".join(prose.faults(project))


def test_a_scratch_book_keeps_the_published_numbers(project):
    sentence = "It reached 12 %<!-- sample.model.test_accuracy | .0% -->."
    add(project, sentence.replace("sample.", ""))
    add_to_page(project, "book/index.md", sentence)
    index = project.book / "index.md"
    text = index.read_text(encoding="utf-8").replace("(notebooks/sample.ipynb)", "(gone.ipynb)")
    index.write_text(text, encoding="utf-8")
    before = snapshot(project)
    scratch = publish.quick_book(project)
    assert {p: b for p, b in snapshot(project).items() if "build" not in p.parts} == {
        p: b for p, b in before.items() if "build" not in p.parts
    }
    page = (scratch.book / "index.md").read_text(encoding="utf-8")
    assert sentence in page and "(notebooks/sample.ipynb)" in page
    assert "12 %<!--" in scratch.copy("sample").read_text(encoding="utf-8")


def test_blocks_are_written_and_a_drifted_one_is_refused(project):
    path = project.root / "tools" / "notebooks.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('title = "A sample"', 'title = "Another"'), encoding="utf-8")
    faults = gate.book_faults(project)
    assert [fault.split(":")[0] for fault in faults] == [
        "README.md",
        "book/index.md",
        "book/speed.md",
        "book/teaching.md",
    ]
    assert all("the block is out of date: run python tools/prose.py" in fault for fault in faults)
    prose.write(project)
    assert gate.book_faults(project) == []
    assert "[Another](notebooks/sample.ipynb)" in (project.book / "index.md").read_text("utf-8")


def test_what_a_block_holds_is_not_read_again():
    block = "<!-- block: list -->\n- 3 %<!-- of nothing --> in 4 s\n<!-- end of block -->"
    reading = prose.read(block, NAMES, {"list": "- 3 %<!-- of nothing --> in 4 s"})
    assert (reading.text, reading.faults, reading.unstamped) == (block, [], [])


def test_a_copy_is_read_as_well_as_its_source(project):
    change_cell(project.copy("sample"), lambda text: f"{text} It took 3 s.")
    assert any("“It took 3 s.”: 3 s carries" in fault for fault in prose.faults(project))


def test_line_ends_and_letters_of_a_page_are_kept(project):
    path = project.book / "data.md"
    path.write_bytes("é ✓\r\n\r\n9<!-- sample.model.steps | d -->\r\n".encode())
    (project.book / "running.md").write_bytes(b"a\r\nb\n9<!-- sample.model.steps | d -->\r\n")
    assert {file.name for file in prose.write(project)} == {"data.md", "running.md"}
    assert path.read_bytes() == "é ✓\r\n\r\n3<!-- sample.model.steps | d -->\r\n".encode()
    mixed = (project.book / "running.md").read_bytes()
    assert mixed == b"a\r\nb\n3<!-- sample.model.steps | d -->\r\n"
    source = project.source("sample")
    add(project, "9<!-- model.steps | d -->")
    source.write_bytes(source.read_bytes().replace(b"\n", b"\r\n"))
    assert source in prose.write(project)
    assert source.read_bytes().count(b"\r\n") == source.read_bytes().count(b"\n")


def test_a_number_is_allowed_by_the_list_and_the_list_holds_nothing_else(project):
    add(project, "The homework asks for\n99 %, we want 99 %.")
    path = project.root / "tools" / "prose.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + '\n[sample]\n"asks for 99 %" = "its target"\n', encoding="utf-8")
    (fault,) = gate.book_faults(project)
    assert "99 % carries no stamp" in fault
    path.write_text(
        text + '\n[sample]\n"asks for 99 %" = "its target"\n"want 99 %" = "ours"\n"5 s" = "why"\n',
        encoding="utf-8",
    )
    assert gate.book_faults(project) == [
        "sample: tools/prose.toml allows '5 s', which does not stand there"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [('["README.md"]\n"8 GB" = ""', "each text needs its reason"), ("[", "cannot be read")],
)
def test_an_impossible_list_is_refused(project, text, reason):
    (project.root / "tools" / "prose.toml").write_text(text, encoding="utf-8")
    with pytest.raises(catalogue.CatalogueError, match=reason):
        prose.faults(project)


def test_a_damaged_results_file_is_told_by_name(project):
    add_to_page(project, "README.md", "9<!-- sample.model.steps | d -->")
    project.results("sample").write_text("{", encoding="utf-8")
    faults = gate.book_faults(project)
    assert any("no notebook is called 'sample'; there are: none yet" in fault for fault in faults)
    assert any("sample.json is not JSON" in fault for fault in faults)


@pytest.mark.parametrize("content", ["{", "<<<<<<< HEAD", "[]", '{"cells": 1}'])
def test_a_damaged_notebook_is_told_by_name(project, content):
    project.source("sample").write_text(content, encoding="utf-8")
    for action in (prose.faults, prose.write):
        with pytest.raises(
            catalogue.CatalogueError, match=r"sample\.ipynb in .* is not a notebook"
        ):
            action(project)


def test_the_command_reports_or_writes(project, monkeypatch, capsys):
    monkeypatch.setattr(prose, "Project", lambda: project)
    assert prose.main(["--check"]) == 0
    add_to_page(project, "README.md", "9<!-- sample.model.steps | d -->")
    before = snapshot(project)
    assert prose.main(["--check"]) == 1
    assert "✗ README.md: “9”: says 9, the results say 3" in capsys.readouterr().out
    assert snapshot(project) == before
    assert prose.main([]) == 0
    assert "written: README.md" in capsys.readouterr().out
    (project.root / "tools" / "prose.toml").write_text("[", encoding="utf-8")
    assert prose.main([]) == 1
    assert "✗ tools/prose.toml cannot be read" in capsys.readouterr().out


def test_the_command_that_publishes_tells_what_is_left_to_mend(project, monkeypatch, capsys):
    monkeypatch.setattr(publish, "Project", lambda: project)
    copy = project.root / "out.ipynb"
    shutil.copy(project.copy("sample"), copy)
    monkeypatch.setattr(publish, "accept", lambda *arguments: None)
    monkeypatch.setattr(publish, "require_helpers", lambda project: None)  # it has none of its own
    assert publish.main(["accept", "sample", str(copy)]) == 0
    add_to_page(project, "README.md", "It took 3 s.")
    assert publish.main(["accept", "sample", str(copy)]) == 1
    assert "✗ README.md: “It took 3 s.”: 3 s carries no stamp" in capsys.readouterr().err


def test_the_prose_of_this_project_says_what_its_results_say():
    assert prose.faults(Project()) == []


def test_this_projects_prose_has_stamps_and_conditions():
    text = "".join(document.text for document in prose.documents(Project()))
    assert " | , -->" in text and "<!-- holds: " in text and "<!-- block: " in text


# --- on the site


class VisibleText(HTMLParser):
    """The text of a page without its tags, comments and scripts."""

    def __init__(self):
        super().__init__()
        self.text, self.hidden = "", 0

    def handle_starttag(self, tag, attributes):
        self.hidden += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")

    def handle_data(self, data):
        if not self.hidden:
            self.text += data


def test_a_built_page_shows_the_numbers_and_no_comment(project, tmp_path):
    sentence = (
        "It reached **?**<!-- {}model.test_accuracy | .1% --> after ?<!-- {}model.steps | d --> "
        "steps.<!-- holds: {}model.steps < 4 and {}model.steps > 2 -->\n\n"
        "| steps | seconds |\n| --- | --- |\n"
        "| ?<!-- {}model.steps \\| .2f --> | ?<!-- {}model.train_seconds \\| .3f --> s |\n\n"
        "<!-- holds: {}model.steps > 2 -->\n\nThe end."
    )
    add(project, sentence.replace("{}", ""))
    add_to_page(project, "book/data.md", sentence.replace("{}", "sample."))
    prose.write(project)
    assert gate.book_faults(project) == []
    html = publish.build_site(project, tmp_path).parent
    for page in (html / "notebooks" / "sample.html", html / "data.html"):
        shown = VisibleText()
        shown.feed(page.read_text(encoding="utf-8"))
        assert "It reached 99.0\u00a0% after 3 steps." in shown.text
        assert "3.00" in shown.text and "1.500 s" in shown.text and "The end." in shown.text
        assert "model." not in shown.text and "holds" not in shown.text and "--" not in shown.text


def test_a_notebooks_format_is_not_touched(project):
    path = project.copy("sample")
    assert not catalogue.rewrite_cells(path, lambda cell, text: text)
    before = json.loads(path.read_text(encoding="utf-8"))
    add(project, "One more.")
    after = json.loads(path.read_text(encoding="utf-8"))
    assert before["metadata"]["provenance"] != after["metadata"]["provenance"]
    for raw in (before, after):
        del raw["metadata"]["provenance"]["source_sha256"]
        raw["cells"] = [cell for cell in raw["cells"] if cell["id"] != "summary"]
    assert before == after
    nbformat.validate(nbformat.read(path, as_version=4))


def test_the_documentation_lists_the_functions_and_blocks_that_there_are():
    for name in prose.FUNCTIONS:
        assert f"{name}" in prose.__doc__, name
    text = "".join(
        (ROOT / page).read_text(encoding="utf-8")
        for page in ("README.md", "book/index.md", "book/teaching.md", "book/speed.md")
    )
    for name in prose.pages.BLOCKS:
        assert f"<!-- block: {name} -->" in text
