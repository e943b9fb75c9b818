"""The users stage at the size of WildChat's releases, on generated rows: time and memory, a process for each size.

    python -m tests.benchmarks.corpora [--rows 1000000 --rows 4700000] [--folder DIR]

Streams the rows through `collect` without model checks, once, and reads the same text with a bare polars scan. It takes
minutes a million rows, and as long again to generate them. The table of both sizes also goes to
data/measured/corpora.csv, from where the book shows it. --folder: where the rows are kept for a next time, 3 GB a
million, and as much again while they are read.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from recenter_utils.attributes.users import collect
from recenter_utils.settings import Source, UserRules
from tests.benchmarks import table
from tests.benchmarks.preprocessing import rows_in, scan
from tests.benchmarks.timing import Peak, resident
from tests.workspaces import ROOT

TABLE = ROOT / "data" / "measured" / "corpora.csv"

SIZES = (1_000_000, 4_700_000)  # WildChat-1M, and WildChat-4.8M as it is published


def measure(rows: int, folder: Path) -> dict[str, float]:
    """Return what so many rows take; memory is of this process, which should have done nothing before."""
    made = rows_in(folder, rows)
    source = Source(name="wildchat", format="wildchat", path=str(made))
    before = resident()
    with Peak() as watch, tempfile.TemporaryDirectory(dir=folder) as staging:
        started = time.perf_counter()
        users = collect([source], UserRules(), Path(), Path(staging)).users
        took = time.perf_counter() - started
    started = time.perf_counter()
    text = scan(made)
    limit = time.perf_counter() - started
    return {
        "rows": rows, "text_gb": text / 1e9, "users": len(users), "kept": int(users["kept"].sum()), "seconds": took,
        "rows_a_second": rows / took, "limit_seconds": limit, "over_limit": took / limit, "before_mb": before / 1e6,
        "peak_mb": watch.bytes / 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, action="append", help="repeatable; default: 1,000,000 and 4,700,000")
    parser.add_argument("--folder", type=Path, help="where rows are kept (default: a temporary folder)")
    parser.add_argument("--table", type=Path, help=f"where the CSV goes (default: {TABLE} for the sizes of WildChat)")
    parser.add_argument("--json", action="store_true", help="measure one size in this process, and print it as JSON")
    given = parser.parse_args()
    if given.json:
        print(json.dumps(measure(given.rows[0], given.folder)))
        return
    measured = []
    with nullcontext(given.folder) if given.folder else tempfile.TemporaryDirectory() as folder:
        for rows in given.rows or SIZES:
            print(f"{rows:,} rows …", file=sys.stderr, flush=True)
            rows_in(Path(folder), rows)  # the process that measures has not made them
            about = table.circumstances()
            command = [sys.executable, "-m", __spec__.name, "--json", "--rows", str(rows), "--folder", str(folder)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=True)
            measured.append(json.loads(done.stdout) | about)
            print(table.rounded(measured[-1]), flush=True)
    if path := given.table or (None if given.rows else TABLE):
        table.save(measured, path)
        print(f"The table is in {path}.")


if __name__ == "__main__":
    main()
