"""Stored answers: an append-only SQLite file a study, safe under kill -9 and with several writers.

What is stored: every answer a model gave, usable or not, under a hash of what decided it. What is not
stored: failures of the server or the network, which say nothing about the question.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from recenter_utils import databases
from recenter_utils.errors import RecenterError
from recenter_utils.inference.requests import Answer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    model TEXT NOT NULL,
    text TEXT,
    error TEXT,
    detail TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    stored_at REAL NOT NULL,
    score REAL
);
CREATE UNIQUE INDEX IF NOT EXISTS usable ON answers (key) WHERE error IS NULL;
CREATE INDEX IF NOT EXISTS unusable ON answers (key) WHERE error IS NOT NULL;
CREATE TABLE IF NOT EXISTS batches (key BLOB PRIMARY KEY, batch_id TEXT NOT NULL);
"""
_LOOK_UP = 500  # keys a query; SQLite's default limit on variables is far over it

T = TypeVar("T")


@dataclass(slots=True)
class Stored:
    """What the cache holds for one key: the usable answer, or the last unusable one and how many there are."""

    answer: Answer
    unusable: int = 0


class Cache:
    """One file of answers. Use it as a context manager; one thread at a time may hold it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = databases.connect(path, check_same_thread=False)
            # The write-ahead log survives the death of the process at NORMAL; only a power cut may cost
            # the last transactions, and what they held is asked again.
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)
            self._add_score()
        except (sqlite3.Error, OSError) as problem:
            raise self._sentence(problem) from problem

    def __enter__(self) -> Cache:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def look_up(self, keys: Iterable[bytes]) -> dict[bytes, Stored]:
        """Return what is stored for each of the keys that has anything."""
        wanted = list(keys)
        found: dict[bytes, Stored] = {}
        try:
            # One partial index for usable answers and one for the others, so that storing touches only one of them.
            for state in ("NOT NULL", "NULL"):
                for start in range(0, len(wanted), _LOOK_UP):
                    part = wanted[start : start + _LOOK_UP]
                    rows = self._db.execute(
                        "SELECT key, text, error, detail, prompt_tokens, completion_tokens, score FROM answers"
                        f" WHERE key IN ({','.join('?' * len(part))}) AND error IS {state} ORDER BY id",
                        part,
                    )
                    for key, text, error, detail, prompt_tokens, completion_tokens, score in rows:
                        before = found[key].unusable if key in found else 0
                        answer = Answer(text, error, detail, prompt_tokens, completion_tokens, 0, score)
                        found[key] = Stored(answer, before + (state == "NOT NULL"))
        except sqlite3.Error as problem:
            raise self._sentence(problem) from problem
        return found

    def store(self, model: str, answers: Iterable[tuple[bytes, Answer]]) -> None:
        """Append answers in one transaction. A usable answer that another run stored first stays."""
        now = time.time()
        rows = [
            (key, model, a.text, a.error, a.detail, a.prompt_tokens, a.completion_tokens, now, a.score)
            for key, a in answers
        ]
        self._do(
            lambda db: db.executemany(
                "INSERT OR IGNORE INTO answers (key, model, text, error, detail, prompt_tokens, completion_tokens,"
                " stored_at, score) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        )

    def batches(self, keys: Iterable[bytes]) -> dict[bytes, str]:
        """Return, for each of the keys that was handed in with a batch, that batch's id."""
        known = dict(self._do(lambda db: db.execute("SELECT key, batch_id FROM batches").fetchall()))
        return {key: known[key] for key in keys if key in known}

    def remember_batch(self, keys: Iterable[bytes], batch_id: str) -> None:
        """Remember a batch before waiting for it: a killed run finds it again instead of paying twice."""
        rows = [(key, batch_id) for key in keys]
        self._do(lambda db: db.executemany("INSERT OR REPLACE INTO batches VALUES (?, ?)", rows))

    def forget_batches(self, keys: Iterable[bytes]) -> None:
        """Forget that these were handed in: their answers are stored, or there will be none."""
        rows = [(key,) for key in keys]
        self._do(lambda db: db.executemany("DELETE FROM batches WHERE key = ?", rows))

    def _add_score(self) -> None:
        """Give a file made before there were scores its column; what it holds stays, without scores."""
        if not self._has_score():
            # Looked at again once the file is ours alone: another process may have been faster.
            self._do(lambda db: self._has_score() or db.execute("ALTER TABLE answers ADD COLUMN score REAL"))

    def _has_score(self) -> bool:
        return any(column[1] == "score" for column in self._db.execute("PRAGMA table_info(answers)"))

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in one transaction that is ours alone."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            result = work(self._db)
            self._db.execute("COMMIT")
        except sqlite3.Error as problem:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._sentence(problem) from problem
        return result

    def _sentence(self, problem: Exception) -> RecenterError:
        if any(sign in str(problem) for sign in ("not a database", "malformed", "no such column")):
            remedy = "move it away if it is damaged; answers stored in it will be asked again"
        else:
            remedy = "check the disk and the folder's permissions"
        return RecenterError(f"The answer cache {self.path} cannot be used ({problem}): {remedy}.")
