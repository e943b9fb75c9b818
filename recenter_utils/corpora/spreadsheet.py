"""Chat logs of one's own as CSV: a message a row."""

from __future__ import annotations

import csv
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from recenter_utils.corpora.batches import Batch
from recenter_utils.corpora.chatlog import Messages
from recenter_utils.corpora.cleaning import Draft, batches
from recenter_utils.corpora.records import Fault, files, open_bytes
from recenter_utils.errors import RecenterError, printable
from recenter_utils.settings import Source

SUFFIXES = (".csv", ".tsv")
NEEDED = ("conversation_id", "user_id", "role", "content")


def read(source: Source, path: Path) -> Iterator[Batch]:
    """Yield the conversations of a CSV file with the columns conversation_id, user_id, role, content.

    timestamp and language are read too; user_id is not needed where the conversation is the user. Commas,
    semicolons or tabs separate, as the header shows. The header is row 1, so that rows are a spreadsheet's.
    """
    return batches(source, _drafts(source, path))


def _drafts(source: Source, path: Path) -> Iterator[Draft | Fault]:
    grouped = Messages(source)
    for name, file in files(path, SUFFIXES):
        with io.TextIOWrapper(open_bytes(file), "utf-8-sig", "surrogateescape", newline="") as stream:
            yield from _faults(source, name, file, stream, grouped)
    yield from grouped.drafts()


def _faults(source: Source, name: str, file: Path, stream: io.TextIOWrapper, grouped: Messages) -> Iterator[Fault]:
    row, filled = 1, False
    # The limit guards against an unclosed quote, but a real turn may be longer; cleaning has a limit of its own.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        header = stream.readline()
        rows = csv.reader(stream, delimiter=max(",;\t", key=header.count))
        columns = _columns(source, file, next(csv.reader([header], rows.dialect), []))
        for row, cells in enumerate(rows, 2):
            if not cells:
                continue
            filled = True
            if len(cells) != len(columns):
                yield Fault(name, row, f"the row has {len(cells)} cells where the header has {len(columns)}")
            elif fault := grouped.add(name, row, dict(zip(columns, cells, strict=True))):
                yield fault
        if not filled:
            yield Fault(name, 1, "no row stands under the header")
    except (csv.Error, EOFError, OSError, zlib.error) as problem:
        yield Fault(name, row + 1, f"the file breaks off here: {problem}")
    finally:
        csv.field_size_limit(limit)


def _columns(source: Source, file: Path, header: list[str]) -> list[str]:
    columns = [column.strip().lower() for column in header]
    needed = [name for name in NEEDED if name != "user_id" or source.user_is == "user"]
    if missing := [name for name in needed if name not in columns]:
        remedy = " or set 'user_is: conversation' for it" if missing == ["user_id"] else ""
        raise RecenterError(
            f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}: it has "
            f"{printable(', '.join(header), 200) or 'none'}, and source '{source.name}' needs {', '.join(needed)}; "
            f"rename them{remedy}."
        )
    return columns
