"""Fuzz readers with atheris: `python -m tests.fuzz [TARGET ...] --seconds 20` has each target asked for so long.

Each runs in a process of its own, from the seeds and a fixed seed; an input that breaks a promise, takes over ten
seconds or 4 GB is kept in the folder that is named, and the command ends with 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS
from tests.workspaces import ROOT

LIMITS = ("-timeout=10", "-rss_limit_mb=4096", "-max_len=8192", "-seed=1", "-print_final_stats=1")


def asked(target: str, seconds: int, found: Path) -> tuple[str, str]:
    """Have one target asked; return its name, and a line that says how it went."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(target)):
            (Path(corpus) / f"seed-{number}").write_bytes(seed)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "tests.fuzz.ask", target, corpus),
                *(*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={found}/{target}-"),
            ],
            cwd=ROOT, capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
    runs = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    if done.returncode == 0 and runs:
        return target, f"{int(runs[1]):,} inputs, none breaks a promise"
    said = (done.stdout + done.stderr).splitlines()
    told = [line for line in said if re.match(r"[\w.]+(Error|Exception)\b|.*ALARM|.*out-of-memory|SUMMARY", line)]
    why = " / ".join(told[:3]) or f"exit status {done.returncode}: {' '.join(said[-3:])[:300]}"
    return target, f"FAILED: {why}; what it was given is in {found}"


def main() -> int:
    """Ask the targets that are named, or all; return the exit status."""
    given = argparse.ArgumentParser(description="Fuzz the readers of files and answers.")
    given.add_argument("targets", nargs="*", help=f"of {', '.join(TARGETS)}; default: all")
    given.add_argument("--seconds", type=int, default=20, help="for each target")
    given.add_argument("--jobs", type=int, default=2)
    chosen = given.parse_args()
    if unknown := set(chosen.targets) - set(TARGETS):
        given.error(f"there is no target {', '.join(sorted(unknown))}")
    found = Path(tempfile.mkdtemp(prefix="fuzz-"))
    failed = False
    with ThreadPoolExecutor(chosen.jobs) as pool:
        names = chosen.targets or list(TARGETS)
        for target, line in pool.map(lambda name: asked(name, chosen.seconds, found), names):
            print(f"{target:12} {line}", flush=True)
            failed |= line.startswith("FAILED")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
