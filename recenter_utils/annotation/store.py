"""Where answers are kept: one SQLite file a task, to which answers are only ever added.

Pages as they are shown, who came, who was handed which page, and every answer with its time. A correction is a new row,
and the newest one holds. What was acknowledged is on the disk: it outlives the process and a power cut.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import polars as pl

from recenter_utils import databases
from recenter_utils.annotation.imported import add_imported
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.schema import HOLDING, SCHEMA, recoded
from recenter_utils.errors import RecenterError
from recenter_utils.scales import Scale, scale_of

_COLUMNS: dict[str, Any] = {
    "item_id": pl.String,
    "page_id": pl.String,
    "version": pl.String,
    "current_version": pl.String,
    "rater": pl.String,
    "label": pl.String,
    "note": pl.String,
    "flagged": pl.Boolean,
    "first_shown": pl.String,
    "seconds": pl.Float64,
    "answered_at": pl.Datetime("ms", "UTC"),
    "expected": pl.List(pl.String),
    "released": pl.Boolean,
    "via": pl.String,
}


@lru_cache(maxsize=256)
def _parsed(content: str) -> Page:
    return Page.model_validate_json(content)


class Store:
    """One file of answers, made where it is missing. Use it as a context manager.

    A Store may be shared by threads, and a file by processes: what belongs together happens in one `transaction`.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._lock = RLock()
        self._depth = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = databases.connect(path, check_same_thread=False)
            self._db.execute("PRAGMA synchronous=FULL")
            tables = self._db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
            if not tables or self.meta("store") is None:
                self._db.executescript(SCHEMA)
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('store', ?)", (secrets.token_hex(16),))
        except (sqlite3.Error, OSError) as problem:
            raise self._sentence(problem) from problem

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()

    def now(self) -> int:
        """Return the time, in milliseconds since 1970, UTC."""
        return int(self._clock() * 1000)

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """Do several things as one: all of them or none, with no other writer between them, in any process.

        A transaction within another is a part of it that can fail alone.
        """
        with self._lock:
            begin, keep, undo = (
                ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part")
                if self._depth
                else (begin, "COMMIT", "ROLLBACK")
            )
            self._db.execute(begin)
            self._depth += 1
            try:
                yield self._db
                self._db.execute(keep)
            except BaseException:
                if self._db.in_transaction:  # a full disk ends it by itself
                    for statement in undo.split("; "):
                        self._db.execute(statement)
                raise
            finally:
                self._depth -= 1

    def snapshot(self) -> AbstractContextManager[sqlite3.Connection]:
        """Read several things as they are at one moment; writers do not wait meanwhile."""
        return self.transaction("BEGIN")

    def meta(self, key: str) -> str | None:
        """Return something noted about the store, such as its task."""
        with self._lock:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    @property
    def scale(self) -> Scale:
        """The answers that the store's task allows."""
        return scale_of(self.meta("scale") or "attribute_quality")

    # -- what is judged -----------------------------------------------------------------------------------

    def prepare(self, task: str, pages: Sequence[Page], scale: str | None = None) -> dict[str, int]:
        """Take in what is to be judged, in this order; return how many pages are `new`, `changed` and `gone`.

        Nothing is forgotten: pages that changed or went stay on record, and answers to another wording stay with that
        wording. Raises RecenterError where the file belongs to another task.
        """
        answers = scale_of(scale or task).task
        found = {"new": 0, "changed": 0, "gone": 0}
        with self._sentences(), self.transaction() as db:
            if (self.meta("task") or task) != task:
                raise RecenterError(f"{self.path} holds answers to '{self.meta('task')}', not to '{task}'.")
            for key, value in (("task", task), ("scale", answers)):
                db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))
            before = {row[0]: row[1:] for row in db.execute("SELECT page, version, content, current FROM pages")}
            shown = {page.page_id for page in pages}
            found["gone"] = sum(bool(old[2]) for name, old in before.items() if name not in shown)
            db.execute("UPDATE pages SET current = 0")
            db.execute("UPDATE items SET current = 0")
            for place, page in enumerate(pages):
                old = before.get(page.page_id)
                found["new"] += old is None
                if old is not None and old[0] != page.version:
                    found["changed"] += 1
                    db.execute(
                        "INSERT OR REPLACE INTO former_pages VALUES (?, ?, ?, ?)", (page.page_id, *old[:2], self.now())
                    )
                db.execute(
                    "INSERT OR REPLACE INTO pages VALUES (?, ?, ?, ?, 1)",
                    (page.page_id, place, page.version, page.model_dump_json()),
                )
                db.executemany(
                    "INSERT OR REPLACE INTO items VALUES (?, ?, ?, ?, ?, 1)",
                    [
                        (
                            item.item_id,
                            page.page_id,
                            number,
                            page.item_version(item),
                            None if item.expected is None else json.dumps(item.expected),
                        )
                        for number, item in enumerate(page.items, 1)
                    ],
                )
        return found

    def page(self, page_id: str) -> Page:
        """Return a page as it is now."""
        with self._lock:
            return _parsed(self._db.execute("SELECT content FROM pages WHERE page = ?", (page_id,)).fetchone()[0])

    def handed_out(self) -> bool:
        """Return whether any annotator has been handed a page."""
        with self._sentences(), self._lock:
            return bool(self._db.execute("SELECT EXISTS (SELECT 1 FROM assignments)").fetchone()[0])

    def n_pages(self) -> int:
        """Return how many pages are judged now."""
        with self._sentences(), self._lock:
            return int(self._db.execute("SELECT count(*) FROM pages WHERE current").fetchone()[0])

    def pages(self) -> list[Page]:
        """Return all that is judged now, in order."""
        with self._sentences(), self._lock:
            rows = self._db.execute("SELECT content FROM pages WHERE current ORDER BY place").fetchall()
        return [_parsed(content) for (content,) in rows]

    # -- what was answered --------------------------------------------------------------------------------

    def answers(self) -> pl.DataFrame:
        """Return the answers that hold: one row for each rater and item with a label.

        Columns: item_id, page_id, version (of the wording that was judged), current_version (null where the item was
        never on a page), rater, label (a preference recoded, 1 generic to 5 personalised), note, flagged, first_shown,
        seconds, answered_at (UTC), expected (the labels that a check item allows), released (the page was taken back
        from this rater), via (`app`, or `import:` and what was imported).
        """
        with self._sentences(), self._lock:
            found = self._db.execute(HOLDING).fetchall()
            scale = self.scale
        rows = []
        for *about, label, note, flagged, first, seconds, at, expected, released, via in found:
            when = None if at is None else datetime.fromtimestamp(at / 1000, UTC)
            label = recoded(label, first, scale)
            allowed = json.loads(expected) if expected else None
            rows.append((*about, label, note, bool(flagged), first, seconds, when, allowed, bool(released), via))
        return pl.DataFrame(rows, schema=_COLUMNS, orient="row")

    def import_answers(
        self, rows: Sequence[Mapping[str, Any]], via: str, skip_different: bool = False
    ) -> dict[str, int]:
        """Take in answers that were given elsewhere, all of them or none; the same again changes nothing.

        Args:
            rows: Each with item_id, rater and label (a preference recoded, 1 generic to 5 personalised), and if known
                note, flagged, answered_at (a datetime with its zone) and first_shown.
            via: What they come from, such as `import:` and a hash of the file.
            skip_different: Leave out rows that differ from what the same rater said before, instead of refusing all.

        Returns the counts `added` (labels), `already` (labels that were there), `different` (left out) and `raters`
        (new ones). Raises RecenterError, with the first rows, on unknown items, on labels outside the scale, and where
        a rater has said something else on an item already.
        """
        with self._sentences(), self.transaction() as db:
            return add_imported(db, rows, self.scale, via, self.now(), skip_different)

    # -- faults -------------------------------------------------------------------------------------------

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as problem:
            raise self._sentence(problem) from problem

    def _sentence(self, problem: Exception) -> RecenterError:
        return RecenterError(
            f"The answers in {self.path} cannot be used ({problem}): check the disk and the folder's permissions; a "
            "damaged file can be restored from a copy."
        )
