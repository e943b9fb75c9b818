"""Stored embeddings: an SQLite file of vectors, safe under kill -9 and with several processes."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recenter_utils import databases
from recenter_utils.errors import RecenterError

#: The file's name in a study's folder of caches.
STORE = "embeddings.sqlite"

_LOOK_UP = 500  # keys a query; SQLite's default limit on variables is far over it
_MARK = 0x52454345  # tells our file from another program's database, which is never written to
_SCHEMA = """CREATE TABLE IF NOT EXISTS vectors (
    key BLOB PRIMARY KEY,  -- hash of model and text
    model TEXT NOT NULL,
    vector BLOB NOT NULL   -- float32, little-endian, unit length
)"""


class VectorStore:
    """One file of one model's vectors; use it as a context manager. Other models may share the file."""

    def __init__(self, path: Path, model: str) -> None:
        self.path, self.model = path, model
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise
        except (sqlite3.Error, OSError) as problem:
            raise self._sentence(problem) from problem

    def __enter__(self) -> VectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def look_up(self, texts: Sequence[str]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Yield the places of stored texts and their vectors, shape (some texts, dimensions), piece by piece."""
        dimensions: int | None = None
        for start in range(0, len(texts), _LOOK_UP):
            places = {self._key(text): start + place for place, text in enumerate(texts[start : start + _LOOK_UP])}
            marks = ",".join("?" * len(places))
            query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"
            try:
                rows = self._db.execute(query, list(places)).fetchall()
            except sqlite3.Error as problem:
                raise self._sentence(problem) from problem
            if not rows:
                continue
            dimensions = dimensions or len(rows[0][1]) // 4
            if any(len(blob) != 4 * dimensions for _, blob in rows):
                raise self._damaged("its vectors differ in length")
            vectors = np.frombuffer(b"".join(blob for _, blob in rows), dtype="<f4").reshape(len(rows), dimensions)
            if not (np.abs(np.einsum("ij,ij->i", vectors, vectors) - 1) < 1e-3).all():
                raise self._damaged("a vector in it is not of unit length")
            yield np.array([places[key] for key, _ in rows], dtype=np.int64), vectors.astype(np.float32, copy=False)

    def add(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Store vectors in one transaction. What another process stored first stays."""
        rows = [
            (self._key(text), self.model, row.tobytes())
            for text, row in zip(texts, vectors.astype("<f4", copy=False), strict=True)
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as problem:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._sentence(problem) from problem

    def _prepare(self) -> None:
        self._db.execute("BEGIN")  # one view of both: another process may be making the file
        mark = self._db.execute("PRAGMA application_id").fetchone()[0]
        tables = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        self._db.execute("COMMIT")
        if mark != _MARK and (mark or tables):
            raise self._damaged("it is another program's database")
        self._db.execute(f"PRAGMA journal_mode={databases.journal()}")
        # The write-ahead log survives the death of the process at NORMAL; a power cut may cost the last batches.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(f"PRAGMA application_id={_MARK}")
        self._db.execute(_SCHEMA)
        self._db.execute("COMMIT")

    def _key(self, text: str) -> bytes:
        return hashlib.blake2b(f"{self.model}\0{text}".encode(), digest_size=16).digest()

    def _damaged(self, how: str) -> RecenterError:
        return RecenterError(
            f"The embeddings cache {self.path} cannot be used: {how}. Move it away or name another file; "
            "what a cache held is computed again."
        )

    def _sentence(self, problem: Exception) -> RecenterError:
        if isinstance(problem, sqlite3.OperationalError | OSError):
            return RecenterError(
                f"The embeddings cache {self.path} cannot be used ({problem}): check the disk, the folder's "
                "permissions, and whether another process holds the file."
            )
        return self._damaged(str(problem))
