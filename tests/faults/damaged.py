"""A cache whose last page is not what was written: noticed, mended, and nothing asked again but what it held."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.faults.lab import SHORT, STUDY, Lab, cache_of, differing, repeated, stored, study_of, watch
from tests.faults.outcome import Outcome
from tests.workspaces import recenter


def overwritten(data: bytearray, page: int) -> None:
    """Noise where the last page was."""
    data[-page:] = os.urandom(page)


def zeroed(data: bytearray, page: int) -> None:
    """Nothing where the last page was, as after a power cut."""
    data[-page:] = bytes(page)


def cut(data: bytearray, page: int) -> None:
    """The last page is missing."""
    del data[-page:]


def altered(data: bytearray, page: int) -> None:
    """A letter in the text of the last answer of all is another one: a page that is sound to SQLite."""
    place = data.rindex(b'"reason')
    data[place + 3] ^= 1


DAMAGES: dict[str, Callable[[bytearray, int], None]] = {
    "overwritten": overwritten,
    "zeroed": zeroed,
    "cut off": cut,
    "one byte altered": altered,
}


def damaged(lab: Lab) -> list[Outcome]:
    """Damage the last page of the answers and of the embeddings, and have the first notebooks run again."""
    outcome = Outcome("corrupted last page of the cache")
    with outcome.timed():
        for name, damage in DAMAGES.items():
            workspace = lab.copy(lab.short, "damaged")
            cache = cache_of(workspace)
            before = stored(cache)
            harm(cache, damage)
            problem = _mended(lab, workspace, outcome, before)
            lab.say(f"  the cache's last page {name}: {problem or 'survived'}")
            outcome.add(1, problem)
        workspace = lab.copy(lab.short, "damaged")
        harm(study_of(workspace) / "cache" / "embeddings.sqlite", overwritten)
        outcome.add(1, _mended(lab, workspace, outcome, stored(cache_of(workspace))))
    return [outcome]


def harm(database: Path, damage: Callable[[bytearray, int], None]) -> None:
    """Damage a database that nobody has open; what its write-ahead log held is in the file before that."""
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        page = opened.execute("PRAGMA page_size").fetchone()[0]
    data = bytearray(database.read_bytes())
    damage(data, page)
    database.write_bytes(data)


def _mended(lab: Lab, workspace: Path, outcome: Outcome, before: dict[bytes, str]) -> str:
    """Run all again from the damaged cache; where that fails, repair and run again. Return what is wrong in the end."""
    study, cache = study_of(workspace), cache_of(workspace)
    shutil.rmtree(study / "runs")
    shutil.rmtree(study / "tables")
    done = recenter(workspace, "run", STUDY, "--only", SHORT)
    if done.returncode and (problem := outcome.heard(done.stderr, "cache", "malformed", "'recenter repair")):
        return problem
    repaired = recenter(workspace, "repair", STUDY)
    if repaired.returncode:
        return f"the repair failed: {repaired.stderr}"
    if done.returncode:
        kept = stored(cache)
        if any(before.get(key) != text for key, text in kept.items()):
            return "an answer that nobody gave was kept"
        watch(cache)
        done = recenter(workspace, "run", STUDY, "--only", SHORT)
        outcome.asked_twice += repeated(cache)
        if done.returncode:
            return f"the run after the repair failed: {done.stderr[-500:]}"
    if stored(cache) != before:
        return "other answers than before"
    return differing(workspace, lab.short)
