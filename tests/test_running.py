"""The page on running: what it says about many runs is done here, on two local workers."""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from catalogue import Project
from conftest import ROOT


def page_blocks(section: str) -> dict[str, list[str]]:
    """Return the code in a section of the page, by its language."""
    text = (ROOT / "book" / "running.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = {}
    for language, code in re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL):
        blocks.setdefault(language, []).append(code)
    return blocks


@pytest.mark.long
@pytest.mark.skipif(
    not (shutil.which("bash") and shutil.which("xargs")), reason="needs bash and xargs"
)
def test_many_runs_end_in_one_table_and_one_without_results_is_named(tmp_path):
    blocks = page_blocks("Many runs")
    (lines,), (job, runs), (collect,) = blocks["yaml"], blocks["bash"], blocks["python"]
    small = Project().entry("sgd_variants").quick
    parameters = [small | yaml.safe_load(line) for line in lines.splitlines()]
    parameters = [p for p in parameters if p["learning_rate"] == 0.001]
    parameters.append(parameters[0] | {"seed": -1})
    assert [p["seed"] for p in parameters] == [0, 1, -1]
    text = [yaml.safe_dump(p, default_flow_style=True, width=10**6) for p in parameters]
    (tmp_path / "runs.txt").write_text("".join(text), encoding="utf-8")
    (tmp_path / "job.sh").write_text(job, encoding="utf-8")
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks", target_is_directory=True)

    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    env = os.environ | {"PATH": os.pathsep.join(paths), "PYTHONPATH": str(ROOT)}
    env.pop("SLURM_ARRAY_TASK_ID", None)
    started = runs.replace("seq 4", f"seq {len(parameters)}")
    assert started != runs
    options = {"cwd": tmp_path, "env": env, "capture_output": True, "text": True}
    subprocess.run(["bash", "-c", started], **options)  # fails, for one of the runs does
    ran = subprocess.run([sys.executable, "-c", collect], **options)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.split(" has no results")[0] == os.path.join("runs", "3.ipynb")
    assert ran.stderr.count("\n") == 1

    with open(tmp_path / "runs.csv", newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["run"], first["seed"], second["run"], second["seed"]) == ("1", "0", "2", "1")
    errors = [float(row["sgd.batch_10.test_error"]) for row in (first, second)]
    assert errors[0] != errors[1] and min(errors) > 0
    assert float(first["epochs"]) == small["epochs"]
