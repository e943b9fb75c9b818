"""Profiles: what notebooks ask of a cluster, what is said where it cannot be had, and Jobs of Kubernetes."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recenter_utils import databases, processes, workflow
from recenter_utils.declarations import declarations
from recenter_utils.errors import RecenterError
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.vectors import VectorStore
from recenter_utils.resources import taken
from recenter_utils.schedulers import jobs, kubernetes, slurm
from recenter_utils.schedulers.profile import find, name_of_jobs
from recenter_utils.steps import Step, steps
from recenter_utils.study import Study
from tests.workspaces import ROOT, environment, recenter, table_bytes

BIG = "big:\n  engine: vllm\n  options: {tensor_parallel_size: 2, replicas: 2}\n"


def step(workspace: Path, name: str, *changes: tuple[str, str]) -> Step:
    """A step of the demo, with changes of its study file, in a workspace that knows a model over four GPUs."""
    folder = workspace / "data" / "demo"
    (folder / "models.yaml").write_text(BIG)
    text = (folder / "study.yaml").read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (folder / "study.yaml").write_text(text)
    return next(one for one in steps(Study.open("demo")) if one.name.startswith(name))


def test_the_demo_asks_for_no_gpu_and_one_processor(workspace: Path) -> None:
    for one in steps(Study.open("demo")):
        asked = taken(one)
        assert (asked.gpus, asked.processors) == (0, 1)
        assert "gpu" not in asked.for_snakemake()
        assert asked.for_snakemake()["mem_mb"] == 1000 * one.entry.resources.memory_gb


@pytest.mark.parametrize(
    ("name", "before", "after", "gpus"),
    [
        ("02", "extraction: embedded-broad", "extraction: big", 4),
        ("19", "generators: [embedded-cautious", "generators: [big", 4),
        ("09", "extraction: embedded-broad", "extraction: big", 4),
        ("03", "extraction: embedded-broad", "extraction: big", 0),
        ("15", "base: smoke", "base: Qwen/Qwen3-4B", 1),
        ("24", "tune: head", "tune: all\n  bases: [answerdotai/ModernBERT-base]", 1),
        ("24", "tune: head", "tune: head\n  bases: [answerdotai/ModernBERT-base]", 0),
        ("08", "verifier: #", "verifier:\n  base: answerdotai/ModernBERT-base #", 1),
        ("14", "selector: #", "selector:\n  base: answerdotai/ModernBERT-base #", 1),
    ],
)
def test_a_gpu_is_asked_for_where_the_study_has_one_used(
    name: str, before: str, after: str, gpus: int, workspace: Path
) -> None:
    one = step(workspace, name, (before, after))
    asked = taken(one)
    assert asked.gpus == gpus
    assert asked.for_snakemake().get("gpu", 0) == gpus
    assert asked.memory_mb == 1000 * (one.entry.resources.memory_gb + 32 * gpus)


def test_on_a_ray_cluster_its_actors_hold_the_gpus(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = step(workspace, "02", ("extraction: embedded-broad", "extraction: big"))
    monkeypatch.setenv("RECENTER_ON", "ray")
    assert taken(one).gpus == 0


def test_every_notebook_that_asks_models_declares_that_it_may_need_a_gpu() -> None:
    study = Study.open(str(ROOT / "data" / "demo"))
    for entry in declarations(ROOT):
        asks = bool(Step(entry, study, {}).models())
        assert ("models" in entry.resources.gpu) == asks, entry.name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--profile", "slrm"), "There is no profile 'slrm': name one of kubernetes, slurm"),
        (("--profile", "slurm", "--on", "ray"), "--on and --profile exclude each other"),
        (("--profile", "data/demo/study.yaml"), "names no executor: write 'executor: slurm'"),
    ],
)
def test_a_mistake_about_profiles_is_one_sentence(arguments: tuple[str, ...], said: str, workspace: Path) -> None:
    done = recenter(workspace, "run", "demo", *arguments)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_sbatch_the_machine_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RecenterError, match="'sbatch' is not on this machine"):
        find("slurm", workspace)


def test_namesakes_in_other_workspaces_have_other_jobs() -> None:
    names = {name_of_jobs(Path(place)) for place in ("/a/data/demo", "/b/data/demo", f"/c/{'x' * 300}", "/d/Ärger_1")}
    assert len(names) == 4
    assert all(len(name) <= 42 and name.replace("-", "").isalnum() and name.isascii() for name in names)


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***", "time"),
        ("SLURM-job '5' failed, SLURM status is: 'TIMEOUT'.", "time"),
        ("slurmstepd: error: Exceeded job memory limit", "memory"),
        (
            "slurmstepd: error: Detected 1 oom_kill event in StepId=5.batch.",
            "memory",
        ),
        ("SLURM-job '5' failed, SLURM status is: 'OUT_OF_MEMORY'.", "memory"),
        ("slurmstepd: error: *** JOB 5 ON n1 CANCELLED AT 2026-01-01T00:00:00 DUE TO PREEMPTION ***", "preempted"),
        ("SLURM-job '5' failed, SLURM status is: 'NODE_FAIL'.", "node"),
        ("SLURM-job '5' failed, SLURM status is: 'CANCELLED'.", "cancelled"),
        ("SLURM-job '5' failed, SLURM status is: 'FAILED'.\nthe server said CANCELLED after a TIMEOUT", ""),
    ],
)
def test_an_ending_is_known_by_slurms_words(said: str, kind: str) -> None:
    assert slurm.ending("5", said) == (kind, "")


def test_a_process_of_another_machine_is_never_ended_and_its_file_is_named(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    file = runs / "03-merging.pid"
    processes.record(file, os.getpid())
    here = json.loads(file.read_text())
    assert here[2] == socket.gethostname()
    file.write_text(json.dumps([*here[:2], "elsewhere"]))
    with pytest.raises(RecenterError, match=f"{os.getpid()} .*on machine elsewhere: .* delete {file}"):
        processes.end_orphans(runs)
    file.unlink()
    processes.end_orphans(runs)


def test_what_jobs_say_comes_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "LOOK", 0.01)
    file = tmp_path / "01-users.said"
    file.write_text("01-users …\nhalf")
    lines = jobs.spoken(io.StringIO("Snakemake\nsays\n"), tmp_path, "> ")
    assert next(lines) == "Snakemake\n"
    assert next(lines) == "> 01-users …\n"
    with file.open("a") as more:
        more.write(" a line\n")
    assert list(lines) == ["says\n", "> half a line\n"]


def test_files_that_several_machines_share_have_a_journal_that_works_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for shared, journal in (("", b"\2\2"), ("1", b"\1\1"), ("", b"\2\2")):
        monkeypatch.setenv(databases.SHARED, shared)
        answers, vectors = tmp_path / "answers.sqlite", tmp_path / "vectors.sqlite"
        with Cache(answers), VectorStore(vectors, "model"):
            pass
        # Bytes 18 and 19 of the file's header: 2 where a write-ahead log is used.
        assert [path.read_bytes()[18:20] for path in (answers, vectors)] == [journal, journal]


PROPERTIES = {"rule": "02-attributes", "threads": 16, "resources": {"mem_mb": 144000, "runtime": 2880, "gpu": 4}}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A job script as Snakemake writes one."""
    file = tmp_path / "snakejob.sh"
    file.write_text(f"#!/bin/sh\n# properties = {json.dumps(PROPERTIES)}\ncd /workspace && true\n")
    return file


def test_a_kubernetes_job_asks_for_what_the_notebook_takes(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    template = yaml.safe_load((ROOT / "notebooks" / "profiles" / "kubernetes" / "job.yaml").read_text())
    before = json.dumps(template)
    job = kubernetes.manifest(template, script, "recenter-demo-00000000")
    assert json.dumps(template) == before
    container = job["spec"]["template"]["spec"]["containers"][0]
    wanted = {"cpu": "16", "memory": "144000M", "nvidia.com/gpu": "4"}
    assert container["resources"] == {"requests": wanted, "limits": wanted}
    assert container["command"][-2:] == [str(script), str(tmp_path / "runs" / "02-attributes.log")]
    assert container["volumeMounts"][0] == {"name": "workspace", "mountPath": "/workspace"}
    assert job["spec"]["activeDeadlineSeconds"] == 2880 * 60
    assert job["spec"]["backoffLimit"] == 0
    assert job["metadata"]["labels"] == {"app": "recenter", "recenter-study": "recenter-demo-00000000"}
    assert job["metadata"]["name"].startswith("recenter-demo-00000000-02-attributes-")
    assert len(job["metadata"]["name"]) <= 63


#: Keeps jobs as files and runs each at once on this machine, as a cluster of one would. `REASON` fails them.
KUBECTL = """#!{python}
import json, os, pathlib, subprocess, sys
there, words = pathlib.Path(os.environ["KUBECTL_JOBS"]), sys.argv[1:]
if words[0] == "create":
    job = json.load(sys.stdin)
    container = job["spec"]["template"]["spec"]["containers"][0]
    reason = os.environ.get("REASON")
    failed = bool(reason) or subprocess.run(container["command"], cwd=container["workingDir"]).returncode != 0
    kind = {{"type": "Failed" if failed else "Complete", "status": "True", "reason": reason}}
    job["status"] = {{"conditions": [kind]}}
    (there / job["metadata"]["name"]).write_text(json.dumps(job))
elif words[0] == "get" and words[1] == "job":
    file = there / words[2]
    print(file.read_text() if file.is_file() else "", end="")
elif words[0] == "get":
    state = {{"terminated": {{"reason": os.environ.get("REASON")}}}}
    print(json.dumps({{"items": [{{"status": {{"containerStatuses": [{{"state": state}}]}}}}]}}))
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for kubectl; the folder of the jobs it was given."""
    there = tmp_path / "bin"
    there.mkdir()
    program = there / "kubectl"
    program.write_text(KUBECTL.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    given = tmp_path / "jobs"
    given.mkdir()
    monkeypatch.setenv("PATH", f"{there}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECTL_JOBS", str(given))
    return given


def test_a_run_hands_its_notebooks_to_kubectl_and_leaves_the_same_tables(
    kubectl: Path, workspace: Path, finished_demo: Path
) -> None:
    done = recenter(workspace, "run", "demo", "--only", "01", "--profile", "kubernetes")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("01-users …\n")
    made, local = table_bytes(workspace), table_bytes(finished_demo)
    assert made == {name: local[name] for name in made}
    assert "users.parquet" in made
    (job,) = [json.loads(file.read_text()) for file in kubectl.iterdir()]
    assert job["metadata"]["labels"]["recenter-study"] == name_of_jobs(workspace / "data" / "demo")
    assert job["spec"]["activeDeadlineSeconds"] == 24 * 3600


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("OOMKilled", "was ended for using more memory than it asked for"),
        ("DeadlineExceeded", "was ended at its time limit"),
    ],
)
def test_a_kubernetes_job_that_was_ended_is_told_with_its_cause(
    reason: str, said: str, kubectl: Path, workspace: Path
) -> None:
    done = recenter(workspace, "run", "demo", "--only", "27", "--profile", "kubernetes", REASON=reason)
    assert done.returncode == 1
    assert f"{said}. " in done.stderr
    assert done.stderr.startswith("Notebook 27-recomputed (job recenter-demo-")
    assert done.stderr.count("\n") == 1


def test_on_one_machine_a_notebook_that_needs_gpus_has_them_alone(workspace: Path) -> None:
    step(workspace, "02", ("extraction: embedded-broad", "extraction: big"))
    command = [sys.executable, "-m", "snakemake", "--snakefile", "notebooks/Snakefile", "--directory", "data/demo"]
    command += ["--config", "study=demo", *workflow.options_here(2), "--dry-run", "--", "runs/03-merging.done"]
    done = subprocess.run(
        command, cwd=workspace, env=environment(workspace), capture_output=True, text=True, check=False
    )
    rules = dict(re.findall(r"^rule (\S+):\n(?:    .*\n)*?    resources: (.*)$", done.stdout, re.MULTILINE))
    assert set(rules) == {"01-users", "02-attributes", "03-merging"}, done.stdout + done.stderr
    assert [name for name, asked in rules.items() if "gpu=1" in asked] == ["02-attributes"]
