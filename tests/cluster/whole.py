"""Runs the whole demo on this machine and on a Ray cluster of it, and compares every table byte for byte.

    python -m tests.cluster.whole [--study demo]

Takes twice the demo and the starting of Ray's processes. Exit code 1: some table differs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.workspaces import new_workspace, recenter, table_bytes


def timed(root: Path, study: str, *more: str) -> float:
    """Run a study in a workspace; return the seconds. Ends the process with what was said where the run fails."""
    started = time.perf_counter()
    done = recenter(root, "run", study, *more)
    if done.returncode:
        sys.exit(done.stderr)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", default="demo")
    study = parser.parse_args().study
    with tempfile.TemporaryDirectory() as folder:
        here, there = new_workspace(Path(folder) / "here"), new_workspace(Path(folder) / "there")
        print(f"this machine  {timed(here, study):7.0f} s")
        print(f"Ray           {timed(there, study, '--on', 'ray'):7.0f} s")
        one, other = table_bytes(here, study), table_bytes(there, study)
    differing = sorted(name for name in one | other if one.get(name) != other.get(name))
    print(f"tables        {len(one):7,}, {len(differing)} of them differ {' '.join(differing)}")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
