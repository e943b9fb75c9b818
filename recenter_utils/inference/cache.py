"""Stored answers: an append-only SQLite file a study, safe under kill -9 and with several writers.

What is stored: every answer a model gave, usable or not, under a hash of what decided it. What is not
stored: failures of the server or the network, which say nothing about the question. Beside the answers stands how
fast they came, for estimates of what is still to be asked.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

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
    score REAL,
    mark INTEGER -- see `mark`; missing in rows made before there were marks
);
CREATE UNIQUE INDEX IF NOT EXISTS usable ON answers (key) WHERE error IS NULL;
CREATE INDEX IF NOT EXISTS unusable ON answers (key) WHERE error IS NOT NULL;
CREATE TABLE IF NOT EXISTS batches (key BLOB PRIMARY KEY, batch_id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS throughput (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    task TEXT NOT NULL,
    requests INTEGER NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    seconds REAL NOT NULL,
    gpus INTEGER,
    measured_at REAL NOT NULL
);
"""
_LOOK_UP = 500  # keys a query; SQLite's default limit on variables is far over it

#: A whole row of answers.
ROW = "id, key, model, text, error, detail, prompt_tokens, completion_tokens, stored_at, score, mark"

#: Columns that files made by earlier versions lack.
_ADDED = {"score": "REAL", "mark": "INTEGER"}

T = TypeVar("T")


def mark(key: bytes, answer: Answer) -> int:
    """Return a checksum of a row: SQLite notices a page that makes no sense, and no wrong byte in an answer."""
    score = None if answer.score is None else float(answer.score)  # as it comes back
    said = (answer.text, answer.error, answer.detail, answer.prompt_tokens, answer.completion_tokens, score)
    return zlib.crc32(key + "\0".join(map(str, said)).encode("utf-8", "surrogatepass"))


@dataclass(slots=True)
class Stored:
    """What the cache holds for one key: the usable answer, or the last unusable one and how many there are."""

    answer: Answer
    unusable: int = 0


@dataclass(slots=True)
class Work:
    """What a model did in a time: requests answered, tokens of prompts and answers, seconds, and on how many GPUs.

    gpus: 0 where processors did it; None where that is not known.
    """

    requests: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    gpus: int | None = None


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
            self._add_columns()
            self._version, self._shared = self._data_version(), False
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
                        "SELECT key, text, error, detail, prompt_tokens, completion_tokens, score, mark FROM answers"
                        f" WHERE key IN ({','.join('?' * len(part))}) AND error IS {state} ORDER BY id",
                        part,
                    )
                    for key, text, error, detail, prompt_tokens, completion_tokens, score, marked in rows:
                        before = found[key].unusable if key in found else 0
                        answer = Answer(text, error, detail, prompt_tokens, completion_tokens, 0, score)
                        if marked is not None and marked != mark(key, answer):
                            raise sqlite3.DatabaseError("malformed: an answer in it is not what was stored")
                        found[key] = Stored(answer, before + (state == "NOT NULL"))
        except sqlite3.Error as problem:
            raise self._sentence(problem) from problem
        return found

    def store(self, model: str, answers: Iterable[tuple[bytes, Answer]]) -> None:
        """Append answers in one transaction. A usable answer that another run stored first stays."""
        now = time.time()
        rows = [
            (key, model, a.text, a.error, a.detail, a.prompt_tokens, a.completion_tokens, now, a.score, mark(key, a))
            for key, a in answers
        ]
        self._do(
            lambda db: db.executemany(
                "INSERT OR IGNORE INTO answers (key, model, text, error, detail, prompt_tokens, completion_tokens,"
                " stored_at, score, mark) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        )

    def restore(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append rows of another file as they are; see `ROW`."""
        places = ", ".join("?" * len(ROW.split(",")))
        self._do(lambda db: db.executemany(f"INSERT OR IGNORE INTO answers ({ROW}) VALUES ({places})", rows))

    def answered_meanwhile(self, key: bytes) -> bool:
        """Tell whether another run has stored a usable answer since this one opened the file; in microseconds."""
        try:
            # Where nobody else writes, no row is looked for.
            self._shared = self._shared or self._data_version() != self._version
            query = "SELECT 1 FROM answers WHERE key = ? AND error IS NULL"
            return self._shared and self._db.execute(query, (key,)).fetchone() is not None
        except sqlite3.Error as problem:
            raise self._sentence(problem) from problem

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

    def record(self, model: str, task: str, work: Work) -> None:
        """Note how fast a model was."""
        row = (model, task, work.requests, work.prompt_tokens, work.completion_tokens, work.seconds, work.gpus)
        self._do(
            lambda db: db.execute(
                "INSERT INTO throughput (model, task, requests, prompt_tokens, completion_tokens, seconds, gpus,"
                " measured_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, time.time()),
            )
        )

    def recorded(self, model: str) -> list[tuple[str, Work]]:
        """Return what was noted of a model, oldest first: the task and the work."""
        try:
            rows = self._db.execute(
                "SELECT task, requests, prompt_tokens, completion_tokens, seconds, gpus FROM throughput"
                " WHERE model = ? ORDER BY id",
                (model,),
            ).fetchall()
        except sqlite3.Error as problem:
            raise self._sentence(problem) from problem
        return [(task, Work(*work)) for task, *work in rows]

    def _add_columns(self) -> None:
        """Give a file made by an earlier version the columns it lacks; what it holds stays, without values in them."""
        for name, kind in _ADDED.items():
            if not self._has(name):
                self._do(partial(self._add_column, name, kind))

    def _add_column(self, name: str, kind: str, database: sqlite3.Connection) -> None:
        if not self._has(name):  # once the file is ours alone: another process may have been faster
            database.execute(f"ALTER TABLE answers ADD COLUMN {name} {kind}")

    def _has(self, name: str) -> bool:
        return any(column[1] == name for column in self._db.execute("PRAGMA table_info(answers)"))

    def _data_version(self) -> int:
        """Return a number that changes when another connection writes."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0])

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
        if "malformed" in str(problem):
            remedy = "'recenter repair STUDY' keeps what can be read; or move it away, and all is asked again"
        elif any(sign in str(problem) for sign in ("not a database", "no such column")):
            remedy = "move it away if it is damaged; answers stored in it will be asked again"
        else:
            remedy = "check the disk and the folder's permissions"
        return RecenterError(f"The answer cache {self.path} cannot be used ({problem}): {remedy}.")
