"""Kubernetes: a notebook as a Job of the cluster, made from a manifest that the user fills in.

Snakemake's own executor for Kubernetes takes it that pods share no files. A study is a folder that all of its notebooks
read and write, so pods mount it as a volume, and its executor for commands hands them in:
`python -m recenter_utils.schedulers.kubernetes submit SCRIPT`, and `... status JOB`. Both call `kubectl`. The manifest
is job.yaml in the profile's folder.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from recenter_utils.documents import read_yaml
from recenter_utils.errors import RecenterError

#: Variables that a run sets for these commands: the folder of its profile, and what the study's jobs are called.
PROFILE, JOBS = "RECENTER_PROFILE", "RECENTER_JOBS"

LABEL = "recenter-study"


def end(name: str) -> None:
    """End a study's jobs with their pods, and return when none is left. Raises RecenterError where it cannot."""
    _kubectl("delete", "jobs", "--selector", f"{LABEL}={name}", "--cascade=foreground", "--wait", "--timeout=120s")


def ending(job: str, said: str) -> tuple[str, str]:
    """Return how a job ended (`time`, `memory`, `node`, `cancelled`, `refused`, or ""), and words to it."""
    if refused := re.search(r"^refused: (.+)$", said, re.MULTILINE):
        return "refused", refused[1]
    try:
        found = json.loads(_kubectl("get", "job,pods", "--selector", f"job-name={job}", "--output", "json"))["items"]
        found += [json.loads(text)] if (text := _kubectl("get", "job", job, "--ignore-not-found", "-o", "json")) else []
    except (RecenterError, ValueError):
        return "", ""
    reasons = {condition.get("reason") for item in found for condition in item["status"].get("conditions", ())}
    for item in found:
        reasons.add(item["status"].get("reason"))
        for container in item["status"].get("containerStatuses", ()):
            reasons.add(container["state"].get("terminated", {}).get("reason"))
    kinds = {"DeadlineExceeded": "time", "OOMKilled": "memory", "Evicted": "node", "NodeLost": "node"}
    return next((kinds[reason] for reason in kinds if reason in reasons), "" if found else "cancelled"), ""


def log_of(folder: Path, notebook: str, job: str) -> Path:
    """Where a job says what it has to say. folder: the study's."""
    return folder / "runs" / f"{notebook}.log"


def manifest(template: dict[str, Any], script: Path, name: str) -> dict[str, Any]:
    """Return the Job for a script of Snakemake's: the template with what the notebook takes and runs put in.

    script: its second line tells, as JSON, the rule, its threads and its resources. name: what the study's jobs are
    called.
    """
    told = re.search(r"^# properties = (\{.*\})$", script.read_text("utf-8"), re.MULTILINE)
    if told is None:
        raise RecenterError(f"{script} is no job script of Snakemake's.")
    properties = json.loads(told[1])
    asked, rule = properties["resources"], properties["rule"]
    job = json.loads(json.dumps(template))
    try:
        pod = job["spec"]["template"]["spec"]
        container = pod["containers"][0]
    except (KeyError, IndexError, TypeError):
        raise RecenterError("The manifest has no spec.template.spec.containers: begin with the one shipped.") from None
    job["metadata"] = job.get("metadata") or {}
    job["metadata"]["name"] = f"{name}-{rule[:13].strip('-')}-{uuid.uuid4().hex[:6]}"
    job["metadata"].setdefault("labels", {})[LABEL] = name
    # A pod that fails is Snakemake's to start again, which knows what it has finished.
    job["spec"] |= {"backoffLimit": 0, "activeDeadlineSeconds": 60 * int(asked["runtime"])}
    pod["restartPolicy"] = "Never"
    limits = {"cpu": str(properties["threads"]), "memory": f"{asked['mem_mb']}M"}
    if asked.get("gpu"):
        limits[str(asked.get("gpu_resource", "nvidia.com/gpu"))] = str(asked["gpu"])
    sizes = container.setdefault("resources", {})
    for kind in ("requests", "limits"):
        sizes[kind] = (sizes.get(kind) or {}) | limits
    # Where the run stands, all is mounted at the same paths.
    log = log_of(Path.cwd(), rule, "")
    container["command"] = ["/bin/sh", "-c", 'exec /bin/sh "$0" > "$1" 2>&1', str(script.resolve()), str(log)]
    container["workingDir"] = str(Path.cwd())
    return job


def submit(script: Path) -> str:
    """Hand in a job and return its name."""
    template = read_yaml(Path(os.environ[PROFILE]) / "job.yaml")
    job = manifest(template, script, os.environ[JOBS])
    _kubectl("create", "--filename", "-", given=json.dumps(job))
    return str(job["metadata"]["name"])


def status(job: str) -> str:
    """Return `running`, `success` or `failed`; a job that is gone has failed."""
    text = _kubectl("get", "job", job, "--ignore-not-found", "--output", "json")
    if not text.strip():
        return "failed"
    conditions = {one["type"]: one["status"] for one in json.loads(text)["status"].get("conditions", ())}
    if conditions.get("Complete") == "True":
        return "success"
    return "failed" if conditions.get("Failed") == "True" else "running"


def _kubectl(*arguments: str, given: str | None = None) -> str:
    if shutil.which("kubectl") is None:
        raise RecenterError("'kubectl' is not on this machine: run the command where it reaches the cluster.")
    done = subprocess.run(
        ["kubectl", *arguments], input=given, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode:
        raise RecenterError(f"kubectl {arguments[0]} failed: {' '.join(done.stderr.split())}")
    return done.stdout


def main() -> int:
    """Do what Snakemake asks: print the name of a job that was handed in, or how a job is."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("submit").add_argument("script", type=Path)
    commands.add_parser("status").add_argument("job")
    arguments = parser.parse_args()
    try:
        print(status(arguments.job) if arguments.command == "status" else submit(arguments.script))
    except RecenterError as problem:
        print(f"refused: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
