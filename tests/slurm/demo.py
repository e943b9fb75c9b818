"""The whole demo as jobs of a SLURM that is started for it, its tables beside those of a local run.

    python -m tests.slurm.demo [--local TABLES]

Without a folder of tables of a local run, one is made first. Takes some minutes; ends with 1 where a table differs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.slurm import cluster
from tests.slurm.conftest import impatient
from tests.workspaces import environment, new_workspace, table_bytes


def main() -> int:
    """Run, compare, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", type=Path, help="tables of a finished local run of the demo")
    arguments = parser.parse_args()
    if lacking := cluster.missing():
        sys.exit(f"{', '.join(lacking)} not found: apt-get install slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    try:
        (folder / "cluster").mkdir()
        local = _read(arguments.local) if arguments.local else _run(folder / "local")
        with cluster.running(folder / "cluster") as there:
            handed = _run(folder / "handed", "--profile", "slurm", "--jobs", "2", **there)
            states = cluster.asked(there, "squeue", "--noheader", "--states=all", "--format=%T").split()
            print("Jobs: " + ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    differing = sorted(name for name in local | handed if local.get(name) != handed.get(name))
    print(f"{len(local)} tables of a local run, {len(local) - len(differing)} equal byte for byte as jobs of SLURM.")
    print("".join(f"Differs: {name}\n" for name in differing), end="")
    return bool(differing)


def _read(tables: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(tables.glob("*.parquet"))}


def _run(folder: Path, *options: str, **there: str) -> dict[str, bytes]:
    started = time.monotonic()
    workspace = impatient(new_workspace(folder))
    command = [sys.executable, "-m", "recenter_utils.cli", "run", "demo", *options]
    if subprocess.run(command, cwd=workspace, env=environment(workspace) | there, check=False).returncode:
        sys.exit(f"The run ended early: {' '.join(command)}")
    print(f"{' '.join(['run demo', *options])}: {time.monotonic() - started:.0f} s")
    return table_bytes(folder)


if __name__ == "__main__":
    sys.exit(main())
