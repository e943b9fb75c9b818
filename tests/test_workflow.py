"""Runs of the whole demo: what reruns, what resumes, what a reader of the terminal is told."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recenter_utils import notebooks, provenance
from recenter_utils.declarations import declarations
from recenter_utils.parameters import parameters
from recenter_utils.steps import code_hash, steps
from recenter_utils.study import Study
from recenter_utils.workflow import chains, needed
from tests.workspaces import ROOT, add_study, environment, recenter, table_bytes

NAMES = [entry.name for entry in declarations(ROOT)]


def started(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The notebooks that a run executed, from what it said."""
    return [line.removesuffix(" …") for line in done.stderr.splitlines() if line.endswith(" …")]


def test_a_run_makes_every_declared_table_with_its_provenance(finished_demo: Path) -> None:
    for entry in declarations(finished_demo):
        for name in entry.writes:
            record = provenance.read(finished_demo / "data" / "demo" / "tables" / f"{name}.parquet")
            assert record.notebook == entry.name
            assert "simulated" in record.origin
            assert set(entry.reads) <= set(record.inputs) | {"users"}


def test_a_second_run_executes_nothing(demo_copy: Path) -> None:
    again = recenter(demo_copy, "run", "demo")
    assert again.returncode == 0
    assert started(again) == []


def test_touching_one_parameter_reruns_only_what_depends_on_it_and_is_asked_for(demo_copy: Path) -> None:
    before = table_bytes(demo_copy)
    depends = [step.name for step in steps(Study.open("demo"))][2:]  # all that follows from merged attributes
    for name, runs in (("merging", ["03-merging"]), ("diversity", ["04-diversity"])):
        changed = recenter(demo_copy, "run", "demo", "--only", name, "-p", "similarity=0.8")
        assert started(changed) == runs
    out_of_date = [step.name for step in steps(Study.open("demo")) if step.condition() != "up to date"]
    assert set(out_of_date) <= set(depends)
    assert "05-judgments" in out_of_date
    after = table_bytes(demo_copy)
    assert {name for name in before if before[name] != after[name]} == {
        "merged_attributes.parquet",
        "diversity.parquet",
        "user_diversity.parquet",
    }
    back = recenter(demo_copy, "run", "demo", "--only", "diversity")
    assert started(back) == ["03-merging", "04-diversity"]
    assert table_bytes(demo_copy) == before


def test_a_setting_reruns_only_the_notebooks_that_declare_it(demo_copy: Path) -> None:
    file = demo_copy / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("users: 20", "users: 21"))
    conditions = {step.name: step.condition() for step in steps(Study.open("demo"))}
    assert conditions["04-diversity"] == "out of date: settings changed"
    assert [name for name, condition in conditions.items() if condition != "up to date"] == ["04-diversity"]
    assert started(recenter(demo_copy, "run", "demo", "--only", "diversity")) == ["04-diversity"]


def test_a_changed_corpus_is_noticed(demo_copy: Path) -> None:
    with (demo_copy / "data" / "demo" / "chats.jsonl").open("a") as chats:
        chats.write("{}\n")
    assert steps(Study.open("demo"))[0].condition() == "out of date: corpora changed"


def test_a_killed_run_is_resumed_and_ends_with_the_same_tables(workspace: Path, finished_demo: Path) -> None:
    command, chance = ["run", "demo", "--only", "diversity"], random.Random(7)
    for name in ("02-attributes", "03-merging"):
        process = subprocess.Popen(
            [sys.executable, "-m", "recenter_utils.cli", *command],
            env=environment(workspace),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while not (workspace / "data" / "demo" / "runs" / f"{name}.pid").is_file():
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(chance.uniform(0, 4))
        # Only the command dies. Snakemake and the notebook live on as orphans, as after a closed terminal.
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = recenter(workspace, *command)
    assert done.returncode == 0, done.stderr
    made, undisturbed = table_bytes(workspace), table_bytes(finished_demo)
    assert "diversity.parquet" in made
    assert made == {name: undisturbed[name] for name in made}
    assert not list((workspace / "data" / "demo" / "runs").glob("*.pid"))
    mine = str(workspace)
    left = [p for p in psutil.process_iter(["cmdline"]) if mine in " ".join(p.info["cmdline"] or [])]
    assert left == []


def test_two_runs_of_one_study_at_once_are_refused(demo_copy: Path) -> None:
    import fcntl

    with (demo_copy / "data" / "demo" / "runs" / ".lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = recenter(demo_copy, "run", "demo")
    assert done.returncode == 1
    assert "being run already by process 4711" in done.stderr


def test_a_failed_notebook_keeps_its_output_and_names_the_cell(demo_copy: Path) -> None:
    path = demo_copy / "notebooks" / "03-merging.ipynb"
    notebook = notebooks.read(path)
    broken = next(cell for cell in notebook["cells"] if "merging.merge(" in cell["source"])
    place = notebook["cells"].index(broken) + 1
    whole = broken["source"]
    broken["source"] = "raise ValueError('the disk is made of cheese')"
    notebooks.write(notebook, path)
    done = recenter(demo_copy, "run", "demo", "--only", "diversity")
    assert done.returncode == 1
    assert f"03-merging failed in cell {place} (`raise ValueError(" in done.stderr
    assert "ValueError: the disk is made of cheese" in done.stderr
    assert (demo_copy / "data" / "demo" / "runs" / "03-merging.failed.ipynb").is_file()
    assert "notebook changed; the last try failed" in recenter(demo_copy, "status", "demo").stdout
    broken["source"] = whole
    notebooks.write(notebook, path)
    assert started(recenter(demo_copy, "run", "demo", "--only", "merging")) == ["03-merging"]
    assert not (demo_copy / "data" / "demo" / "runs" / "03-merging.failed.ipynb").exists()


def test_a_notebook_goes_before_those_that_start_a_shorter_chain(workspace: Path) -> None:
    plan = steps(Study.open("demo"))
    found = chains(plan)
    for step in plan:
        readers = [other.name for other in plan if set(step.entry.writes) & set(other.entry.reads)]
        assert found[step.name] == 1 + max((found[name] for name in readers), default=0)
    assert found["10-pairs"] > found["05-judgments"] > found["06-attribute-quality"]


def test_what_a_notebook_needs_is_what_it_reads_through_others_and_nothing_beside(workspace: Path) -> None:
    plan = steps(Study.open("demo"))
    assert [step.name for step in needed(plan, "12-retrieval")] == [
        "01-users",
        "02-attributes",
        "03-merging",
        "10-pairs",
        "11-relevance-judgments",
        "12-retrieval",
    ]
    assert [step.name for step in needed(plan, "01-users")] == ["01-users"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["run", "demo", "-p", "similarty=0.8"],
            "No notebook here has a parameter 'similarty'. Did you mean 'similarity'?",
        ),
        (
            ["run", "demo", "-p", "similarity=high"],
            "Parameter 'similarity' of 03-merging must be float or None, not 'high'.",
        ),
        (["run", "demo", "-p", "bins=2.5"], "Parameter 'bins' of 04-diversity must be int or None, not '2.5'."),
        (["run", "demo", "-p", "similarity=.inf"], "must be float or None, not '.inf'"),
        (["run", "demo", "-p", "similarity"], "must read '-p name=value'"),
        (["run", "demo", "-p", "study=other"], "'recenter run STUDY'"),
        (["run", "demo", "--only", "mergin"], "There is no notebook 'mergin'."),
        (["run", "dem"], "There is no study 'dem'"),
        (["status", "demmo"], "Did you mean 'demo'?"),
        (["book", "demo"], "Notebook 01-users did not run on 'demo'"),
    ],
)
def test_a_mistake_is_one_sentence_before_anything_runs(workspace: Path, arguments: list[str], said: str) -> None:
    done = recenter(workspace, *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((workspace / "data" / "demo").glob("tables/*"))


def test_a_missing_corpus_stops_the_run_before_it_starts(workspace: Path) -> None:
    add_study(workspace, "gone", "title: t\nsources: [{name: a, format: chatlog, path: nowhere.jsonl}]\n")
    done = recenter(workspace, "run", "gone")
    assert done.returncode == 1
    assert "Source 'a' of study 'gone'" in done.stderr
    assert "nowhere.jsonl" in done.stderr


def test_a_missing_key_stops_the_notebook_with_the_variables_name(workspace: Path) -> None:
    file = workspace / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("language: embedded-plain", "language: gpt-5.4"))
    done = recenter(workspace, "run", "demo")
    assert done.returncode == 1
    assert "OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((workspace / "data" / "demo").glob("tables/*"))


def test_a_key_reaches_no_file(workspace: Path) -> None:
    secret = "sk-recenter-test-0123456789abcdef"
    (workspace / "data" / "demo" / "models.yaml").write_text(
        "paid: {engine: openai, base_url: 'http://127.0.0.1:9/v1', key_env: RECENTER_TEST_KEY, retries: 0}\n"
    )
    file = workspace / "data" / "demo" / "study.yaml"
    file.write_text(file.read_text().replace("language: embedded-plain", "language: paid"))
    done = recenter(workspace, "run", "demo", RECENTER_TEST_KEY=secret)
    assert done.returncode == 1
    assert "Nothing answers at http://127.0.0.1:9/v1" in done.stderr
    assert secret not in done.stderr + done.stdout
    files = [path for path in workspace.rglob("*") if path.is_file()]
    assert any(path.name == "01-users.failed.ipynb" for path in files)
    assert [path for path in files if secret.encode() in path.read_bytes()] == []


def test_code_that_a_notebook_does_not_use_does_not_count(workspace: Path) -> None:
    hashes = {name: code_hash(workspace / "notebooks" / f"{name}.ipynb") for name in NAMES}
    assert len(set(hashes.values())) == len(NAMES)


def test_the_executed_notebook_remembers_what_it_ran_on(finished_demo: Path) -> None:
    notebook = notebooks.read(finished_demo / "data" / "demo" / "runs" / "03-merging.ipynb")
    record = notebook["metadata"]["recenter"]
    assert set(record) == {"state", "inputs", "outputs", "unanswered"}
    assert set(record["inputs"]) == {"users", "attributes"}
    assert str(finished_demo) not in json.dumps(record)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_keeps_to_the_house_rules(name: str) -> None:
    path = ROOT / "notebooks" / f"{name}.ipynb"
    notebook = notebooks.read(path)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    lines = [
        line for line in notebooks.code(notebook).splitlines() if line.strip() and not line.strip().startswith("#")
    ]
    assert len(lines) <= 40
    assert not any(word in notebooks.code(notebook) for word in ("def ", "class ", "lambda "))
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells)
    assert all(parameter.help for parameter in parameters(path).values())
    assert parameters(path)["study"].default == "demo"
    assert any("figures." in cell["source"] for cell in cells)
    for cell in (cell for cell in cells if "figures.finish" in cell["source"]):
        about = cell["metadata"]["mystnb"]
        assert about["figure"]["name"]
        assert about["figure"]["caption"]
        assert about["image"]["alt"]
