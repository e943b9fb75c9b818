"""Saving of answers, beside a CSV file that is appended to and a bare SQLite commit.

`python -m tests.benchmarks.annotating [--answers 2000]`

All three leave each answer on the disk, past a power cut, before the next one begins; ours also checks that it is the
annotator's to give, and says how far they are. At one size, fifty annotators at once on loopback are measured too: how
long each click waits for its acknowledgement, first while they think between clicks, then while they do not.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd

from recenter_utils.annotation import assignment, raters, saving
from recenter_utils.annotation.store import Store
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare
from tests.crowd import LABELS, crowd, percentile, serving, wrong_answers
from tests.judging import quality_pages
from tests.workspaces import new_workspace

PART, UNIT = "saving of answers", "answers"
SIZES = {"small": (10, 20, 40), "full": (100, 300, 900)}

ITEMS, PEOPLE = 20, 50


def begun(path: Path, answers: int) -> Store:
    """Return a store in which one annotator has pages for so many answers."""
    store = Store(path)
    store.prepare("attribute_quality", quality_pages(-(-answers // ITEMS), ITEMS))
    raters.invite(store, ["anna"])
    raters.consent(store, "anna", True)
    assignment.hand_out(store, "anna", assignment.Rules())
    return store


def saved(path: Path, answers: int) -> None:
    """Save so many answers, page by page, as the screens do."""
    with begun(path, answers) as store:
        pages = saving.progress(store, "anna")
        stamps = {page.place: saving.stamp(store, page.page_id) for page in pages}
        for number in range(answers):
            place = pages[number // ITEMS].place
            saving.save(store, "anna", place, number % ITEMS + 1, stamps[place], "label", LABELS[number % 3])
        assert len(store.answers()) == answers


def appended(path: Path, answers: int) -> None:
    """Append so many rows to a CSV file with pandas, each flushed to the disk."""
    for number in range(answers):
        row = {"rater": "anna", "item": f"user-{number}", "label": LABELS[number % 3], "at": time.time()}
        with path.open("a") as file:
            pd.DataFrame([row]).to_csv(file, header=number == 0, index=False)
            file.flush()
            os.fsync(file.fileno())


def committed(path: Path, answers: int) -> None:
    """Insert so many rows, a commit each, as safe as ours."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(
            "CREATE TABLE answers (answer INTEGER PRIMARY KEY, rater TEXT, item TEXT, label TEXT, at REAL)"
        )
        for number in range(answers):
            row = ("anna", f"user-{number}", LABELS[number % 3], time.time())
            database.execute("INSERT INTO answers (rater, item, label, at) VALUES (?, ?, ?, ?)", row)


def measure(size: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        fresh = (Path(folder) / f"{number}.file" for number in itertools.count())
        return compare(
            PART, size, UNIT, lambda: saved(next(fresh), size),
            Way("a CSV file that pandas appends to", lambda: appended(next(fresh), size)),
            Way("a bare SQLite commit each", lambda: committed(next(fresh), size)),
            f"one annotator, {ITEMS} items a page; each answer on the disk before the next",
        )  # fmt: skip


def at_once(think: float) -> str:
    """Let everybody judge three pages over HTTP, and say how long their clicks waited."""
    with tempfile.TemporaryDirectory() as name:
        workspace = new_workspace(Path(name) / "workspace")
        options = ("--annotators", str(PEOPLE), "--per-item", "3", "--cap", "3")
        with serving(workspace, quality_pages(PEOPLE, ITEMS), *options) as server:
            annotators = crowd(server, think)

            async def work() -> None:
                await asyncio.gather(*(annotator.work() for annotator in annotators))

            began = time.perf_counter()
            asyncio.run(work())
            wall = time.perf_counter() - began
            server.end()
        waits = [wait for annotator in annotators for wait in annotator.waits]
        wrong = wrong_answers(server.store, annotators, all_of_them=True)
    p50, p95 = percentile(waits, 0.5), percentile(waits, 0.95)
    return (
        f"{PEOPLE} annotators, {think:.1f} s between clicks: {len(waits):,} answers, {len(wrong)} wrong, "
        f"{len(waits) / wall:,.0f} a second, p50 {p50:.1f} ms, p95 {p95:.1f} ms, "
        f"longest {max(waits) * 1000:.0f} ms"
    )


def others(_: int) -> Iterator[str]:
    yield at_once(0.5)
    yield at_once(0.0)


if __name__ == "__main__":
    alone(UNIT, SIZES, measure, others)
