"""All parts, one table: `python -m tests.benchmarks [--only NAME] [--sizes small|full]` (minutes on 2 cores).

Each part runs in a process of its own, a thread for each library of linear algebra. Results are ratios; seconds are
context. The table of all parts at full sizes also goes to data/measured/benchmarks.csv, from where the book shows it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.timing import Row
from tests.workspaces import ROOT

TABLE = ROOT / "data" / "measured" / "benchmarks.csv"

#: Modules of this package, in the order of a study.
PARTS = (
    "preprocessing", "embedded", "embeddings", "merging", "sampling", "asking", "rerunning", "annotating", "agreement",
    "relevance", "retrieval", "mixed",
)  # fmt: skip

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def measured(part: str, sizes: str) -> Iterator[Row]:
    """Yield a part's rows as they come from its process; raises CalledProcessError where that fails."""
    command = [sys.executable, "-m", f"tests.benchmarks.{part}", "--sizes", sizes, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=os.environ | _THREADS) as process:
        assert process.stdout
        for line in process.stdout:
            yield Row(**json.loads(line))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part; repeatable")
    parser.add_argument("--sizes", choices=("small", "full"), default="full")
    parser.add_argument("--table", type=Path, help=f"where the CSV goes (default: {TABLE} for all parts at full sizes)")
    given = parser.parse_args()
    about, rows = table.circumstances(), []
    print(f"{about['machine']}; {about['load']}", flush=True)
    path = given.table or (None if given.only or given.sizes == "small" else TABLE)
    for part in given.only or PARTS:
        for row in measured(part, given.sizes):
            rows.append(row)
            print(f"{row.part}, {row.size:,} {row.unit} …", file=sys.stderr, flush=True)
        if path:  # a part that fails costs none of those before it
            table.write(rows, path, about)
    print(table.as_text(rows))
    if path:
        print(f"The table is in {path}.")


if __name__ == "__main__":
    main()
