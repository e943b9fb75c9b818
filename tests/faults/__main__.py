"""Inject every fault into a study, and print what became of each: `python -m tests.faults` (half an hour on 2 cores).

Ends with 1 where anything is lost. The table also goes to data/measured/faults.csv, from where the book shows it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.faults import clocks, damaged, kills, memory, mounts, outcome, served, writers
from tests.faults.lab import Lab
from tests.faults.outcome import Outcome
from tests.workspaces import ROOT

TABLE = ROOT / "data" / "measured" / "faults.csv"

FAULTS = ("memory", "disk", "damage", "writers", "clock", "server", "kills")


def main() -> int:
    """Read the command line, inject, and report; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often a run is killed (default: 20)")
    parser.add_argument("--seed", type=int, default=2026, help="decides who is killed and when")
    parser.add_argument("--only", action="append", choices=FAULTS, help="only this fault; repeatable")
    parser.add_argument("--folder", type=Path, help="where the workspaces go (default: a temporary folder)")
    parser.add_argument(
        "--undisturbed", type=Path, help="a workspace in which this version ran the demo (default: it is run first)"
    )
    parser.add_argument("--table", type=Path, help=f"where the table goes (default: {TABLE} where all is injected)")
    given = parser.parse_args()
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="recenter-faults-", dir=given.folder) as folder:
        lab = Lab(Path(folder), lambda line: print(line, flush=True), given.undisturbed)
        inject: dict[str, Callable[[], list[Outcome]]] = {
            "memory": lambda: memory.out_of_memory(lab),
            "disk": lambda: mounts.disks(lab),
            "damage": lambda: damaged.damaged(lab),
            "writers": lambda: writers.two_writers(lab),
            "clock": lambda: clocks.jumped(lab),
            "server": lambda: served.disturbed(lab),
            "kills": lambda: kills.killed(lab, given.kills, given.seed),
        }
        for name in given.only or FAULTS:
            print(f"{name} …", flush=True)
            outcomes += inject[name]()
    print(f"\n{outcome.as_text(outcomes)}")
    if table := given.table or (None if given.only else TABLE):
        outcome.write(outcomes, table)
        print(f"\nThe table is in {table}.")
    return 1 if any(one.lost for one in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
