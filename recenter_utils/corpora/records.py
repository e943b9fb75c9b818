"""Rows of a corpus's files: JSON lines, one JSON document or parquet, compressed or not, in a file or a folder."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import polars as pl

from recenter_utils.errors import RecenterError

JSON = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet",)


@dataclass(frozen=True)
class Record:
    """A row as it stands: the file's name, the row from 1, and what was parsed from it."""

    file: str
    row: int
    value: Any


@dataclass(frozen=True)
class Fault:
    """A row that became no conversation, and why; it ends in the table `problems`."""

    file: str
    row: int
    reason: str
    conversation_id: str | None = None
    action: Literal["refused", "repaired"] = "refused"


def suffix(file: Path) -> str:
    """Return the lower-case ending, that of `.gz` left aside."""
    return Path(file.name.lower().removesuffix(".gz")).suffix


def stem(file: str) -> str:
    """Return a file's name without its endings: `logs/chats` for `logs/chats.jsonl.gz`."""
    bare = file.removesuffix(".gz")
    return bare.removesuffix(Path(bare).suffix)


def files(path: Path, suffixes: Iterable[str]) -> list[tuple[str, Path]]:
    """Return (name, file) for the file `path`, or for every file under the folder `path` with one of `suffixes`."""
    if path.is_file():
        return [(path.name, path)]
    wanted = tuple(suffixes)
    names = {file.relative_to(path): file for file in sorted(path.rglob("*")) if suffix(file) in wanted}
    # What a downloader or an editor keeps for itself is no part of the corpus.
    found = [
        (name.as_posix(), file)
        for name, file in names.items()
        if file.is_file() and not any(part.startswith(".") for part in name.parts)
    ]
    if not found:
        raise RecenterError(f"{path} holds no file that ends in {', '.join(wanted)}.")
    return found


def open_bytes(file: Path) -> BinaryIO:
    """Open a file for reading, through gzip where its first bytes say so."""
    try:
        with file.open("rb") as stream:
            start = stream.read(2)
        if start in (b"\xff\xfe", b"\xfe\xff"):
            raise RecenterError(f"{file} is written in UTF-16; save it as UTF-8.")
        return cast(BinaryIO, gzip.open(file, "rb")) if start == b"\x1f\x8b" else file.open("rb")
    except OSError as problem:
        raise RecenterError(f"{file} cannot be read: {problem.strerror}.") from None


def records(path: Path, suffixes: Iterable[str] = JSON) -> Iterator[Record | Fault]:
    """Yield every row of a file or folder in order; a row that cannot be parsed is a `Fault`, never an exception.

    A row is a line, an element of a file's one JSON array, or a row of a parquet file. Blank lines are no rows.
    """
    for name, file in files(path, suffixes):
        yield from _parquet(name, file) if suffix(file) in PARQUET else _json(name, file)


def parse(text: str) -> Any:
    """Parse JSON; whatever is wrong with it becomes a ValueError whose message is one clause."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        raise ValueError(f"not valid JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}") from None
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"not readable JSON: {problem}") from None


def _lines(name: str, file: Path) -> Iterator[Record | Fault]:
    row = 0
    with open_bytes(file) as stream:
        try:
            for row, line in enumerate(stream, 1):
                # Bytes that are no UTF-8 become lone surrogates, which cleaning replaces and reports.
                text = line.decode("utf-8", "surrogateescape")
                text = text.removeprefix("\ufeff") if row == 1 else text
                if text.strip():
                    yield Record(name, row, text)
        except (EOFError, OSError, zlib.error) as problem:
            yield Fault(name, row + 1, f"the file breaks off here: {problem}")


def _json(name: str, file: Path) -> Iterator[Record | Fault]:
    start = list(islice(_lines(name, file), 2))
    if not start:
        yield Fault(name, 1, "the file is empty")
    elif _may_be_one_document(start, file):
        yield from _document(name, file)
    else:
        yield from _json_lines(name, file)


def _json_lines(name: str, file: Path) -> Iterator[Record | Fault]:
    for line in _lines(name, file):
        try:
            yield line if isinstance(line, Fault) else Record(name, line.row, parse(line.value))
        except ValueError as problem:
            yield Fault(name, line.row, str(problem))


def _may_be_one_document(start: list[Record | Fault], file: Path) -> bool:
    first = start[0]
    if isinstance(first, Fault) or not (first.value.lstrip().startswith("[") or suffix(file) == ".json"):
        return False
    if len(start) == 1:
        return True
    try:
        parse(first.value)
    except ValueError:
        return True
    return False


def _document(name: str, file: Path) -> Iterator[Record | Fault]:
    lines = list(_lines(name, file))
    broken = next((line for line in lines if isinstance(line, Fault)), None)
    try:
        document = parse("".join(line.value for line in lines if isinstance(line, Record)))
    except ValueError as problem:
        if suffix(file) == ".json":
            yield broken or Fault(name, 1, str(problem))
        else:
            yield from _json_lines(name, file)
        return
    items = document if isinstance(document, list) else [document]
    if not items:
        yield Fault(name, 1, "the file holds an empty list")
    for row, value in enumerate(items, 1):
        yield Record(name, row, value)


def _parquet(name: str, file: Path) -> Iterator[Record | Fault]:
    row = 0
    try:
        for row, value in enumerate(pl.read_parquet(file).iter_rows(named=True), 1):
            yield Record(name, row, value)
    # A file that is damaged where polars expects nothing else makes it panic.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as problem:
        yield Fault(name, row + 1, f"not readable as parquet: {' '.join(str(problem).split())[:200]}")
