"""Saving what can be read of a damaged cache, so that answers which were paid for are not asked again."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recenter_utils import processes
from recenter_utils.errors import RecenterError
from recenter_utils.inference.cache import ROW, Cache, mark
from recenter_utils.inference.requests import Answer
from recenter_utils.schedulers import jobs
from recenter_utils.study import Study

_ROWS = 1024  # read at a time, and halved where one of them cannot be read
_SMALLEST_ROW = 24  # bytes; how many there are at most follows from the file's size


def repair(study: Study) -> str:
    """Replace a damaged cache of answers by one with all that can be read, and set damaged embeddings aside.

    Return what was found. The damaged files stay, under another name. Raises RecenterError while a run is going on, or
    where nothing can be read.
    """
    runs = study.folder / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    with processes.only_run(runs / ".lock", f"Study '{study.name}' is being run"):
        processes.end_orphans(runs, jobs.end)
        return "\n".join([_answers(study.cache), _embeddings(study.embedding_cache)])


def _answers(path: Path) -> str:
    if not path.is_file():
        return f"There are no stored answers at {path}."
    with TemporaryDirectory(dir=path.parent, prefix=".repair-") as folder:
        copy, new = Path(folder, "damaged.sqlite"), Path(folder, "new.sqlite")
        _copy_padded(path, copy)
        try:
            with Cache(copy):  # brings what lies in the write-ahead log into the file, and columns of now
                pass
            with closing(sqlite3.connect(copy, isolation_level=None)) as damaged, Cache(new) as whole:
                sound = _sound(damaged)
                kept, lost = _copy_rows(damaged, whole, copy.stat().st_size)
        except (sqlite3.Error, RecenterError):
            raise RecenterError(f"Nothing can be read of {path}: move it away; all is asked again.") from None
        if sound and not lost:
            return f"{path} is whole: {kept:,} answers."
        aside = _set_aside(path)
        new.replace(path)
    return f"{path} holds {kept:,} answers that could be read; what else there was is asked again. Damaged: {aside}."


def _embeddings(path: Path) -> str:
    if not path.is_file():
        return f"There are no stored embeddings at {path}."
    try:
        with closing(sqlite3.connect(path)) as database:
            if _sound(database):
                return f"{path} is whole."
    except sqlite3.Error:
        pass
    aside = _set_aside(path)
    path.unlink()
    return f"{path} was damaged, and its embeddings are computed again. Damaged: {aside}."


def _copy_padded(path: Path, copy: Path) -> None:
    """Copy a database and its log; where pages are missing at its end, which SQLite refuses, with empty ones there."""
    for end in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(path.with_name(path.name + end), copy.with_name(copy.name + end))
    size = path.stat().st_size
    with copy.open("r+b") as file:
        header = file.read(100)
        page = int.from_bytes(header[16:18]) if header[16:18] != b"\0\1" else 65536  # see SQLite's file format, 1.3
        should_be = page * int.from_bytes(header[28:32]) if header[:6] == b"SQLite" else 0
        file.truncate(max(size, min(should_be, 2 * size)))  # not more: the number may be what is damaged


def _sound(database: sqlite3.Connection) -> bool:
    try:
        return bool(database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError:
        return False


def _copy_rows(damaged: sqlite3.Connection, new: Cache, size: int) -> tuple[int, int]:
    """Copy every row that can be read and is what was stored; return how many, and how many were something else."""
    kept = lost = 0
    for rows in _readable(damaged, 1, _last(damaged, size) + 1):
        good = [row for row in rows if _as_stored(row)]
        new.restore(good)
        kept, lost = kept + len(good), lost + len(rows) - len(good)
    with suppress(sqlite3.DatabaseError):
        for key, batch in damaged.execute("SELECT key, batch_id FROM batches").fetchall():
            new.remember_batch([key], batch)
    return kept, lost


def _as_stored(row: tuple[Any, ...]) -> bool:
    _, key, _, text, error, detail, prompt_tokens, completion_tokens, _, score, marked = row
    if marked is None:
        return True
    return isinstance(key, bytes) and marked == mark(
        key, Answer(text, error, detail, prompt_tokens, completion_tokens, 0, score)
    )


def _last(damaged: sqlite3.Connection, size: int) -> int:
    """Return a number that no row's id exceeds: the indexes know it, or else there is no room for more rows."""
    known = 0
    try:
        for index, state in (("usable", "NULL"), ("unusable", "NOT NULL")):
            query = f"SELECT max(id) FROM (SELECT id FROM answers INDEXED BY {index} WHERE error IS {state})"
            known = max(known, damaged.execute(query).fetchone()[0] or 0)
    except sqlite3.DatabaseError:
        return size // _SMALLEST_ROW
    return known


def _readable(damaged: sqlite3.Connection, first: int, end: int) -> Iterator[list[Any]]:
    """Yield the rows with ids from `first` to before `end`, but for those on pages that cannot be read."""
    todo = [(start, min(start + _ROWS, end)) for start in range(first, end, _ROWS)][::-1]
    while todo:
        start, stop = todo.pop()
        try:
            # The table and not an index of it, which may be what is damaged.
            query = f"SELECT {ROW} FROM answers NOT INDEXED WHERE id >= ? AND id < ? ORDER BY id"
            yield damaged.execute(query, (start, stop)).fetchall()
        except sqlite3.DatabaseError:
            if stop - start > 1:
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]


def _set_aside(path: Path) -> Path:
    """Give a database a second name, so that there is one at every moment, and its log that name alone; return it."""
    number = next(n for n in count(1) if not path.with_name(f"{path.stem}.damaged-{n}{path.suffix}").exists())
    aside = path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")
    try:
        aside.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, aside)
    for end in ("-wal", "-shm"):  # one that stayed would be taken for the new file's
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).rename(aside.with_name(aside.name + end))
    return aside
