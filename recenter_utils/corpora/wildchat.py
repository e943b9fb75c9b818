"""WildChat (Zhao et al., 2024): the hub's parquet shards, or JSON lines with the same column names.

Parquet is read by the batch and by column: of the nested turns only role and content are decoded. A row in which
nothing is to be mended passes without Python touching it; the others go through `cleaning`, as every corpus does.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recenter_utils.corpora.batches import Batch
from recenter_utils.corpora.cleaning import MAX_TURN_BYTES, Draft, batches, language_name
from recenter_utils.corpora.identifiers import Met
from recenter_utils.corpora.records import JSON, PARQUET, Fault, files, records, suffix
from recenter_utils.errors import RecenterError, printable
from recenter_utils.settings import Source
from recenter_utils.tables import ROLES, table

#: Rows decoded at a time: about 60 MB of text.
ROWS = 8_000

_COLUMNS = ("conversation_hash", "hashed_ip", "language", "conversation")
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_IDENTIFIER = r"^[^\s\x00-\x1f\x7f-\x9f]+$"


def read(source: Source, path: Path) -> Iterator[Batch]:
    """Yield the conversations of a WildChat file, or of a folder of them, in the order of file names and rows.

    A user is a `hashed_ip`; where the rows have none, as in some redistributions, the study says
    `user_is: conversation`. In a folder with parquet files only those are read. A file that is no parquet or
    lacks a column is refused at once.
    """
    shards = [(name, file) for name, file in files(path, (*PARQUET, *JSON)) if suffix(file) in PARQUET]
    return _parquet(source, shards) if shards else batches(source, _drafts(path))


def _drafts(path: Path) -> Iterator[Draft | Fault]:
    for record in records(path):
        if isinstance(record, Fault):
            yield record
        elif isinstance(record.value, dict):
            yield _draft(record.file, record.row, record.value)
        else:
            yield Fault(record.file, record.row, "the row is not a JSON object")


def _draft(file: str, row: int, value: dict[str, Any]) -> Draft:
    identifier, user, language, turns = (value.get(column) for column in _COLUMNS)
    return Draft(file, (row,), turns, identifier, user, language)


def _parquet(source: Source, shards: list[tuple[str, Path]]) -> Iterator[Batch]:
    met = Met()
    for name, file in shards:
        first = 1
        for arrow in _decoded(source, file):
            try:
                plain, drafts = _sorted_out(source, name, first, arrow)
            except pl.exceptions.PanicException as problem:  # on names that are no UTF-8
                raise _unreadable(file, problem) from None
            mended, problems = _mended(source, drafts)
            found = pl.concat([plain, mended]).sort("row")
            again = met.before(found["conversation_id"]) | ~found["conversation_id"].is_first_distinct()
            refused = _refusals(name, found.filter(again))
            problems = pl.concat([problems.join(refused, on="row", how="anti"), refused])
            yield Batch(found.filter(~again).drop("row"), problems.sort("row", maintain_order=True))
            first += arrow.num_rows
        # pyarrow's schema of a file and its metadata hold each other, kilobytes a row group, until somebody looks.
        gc.collect()


def _decoded(source: Source, file: Path) -> Iterator[pa.RecordBatch]:
    """Yield a file's rows in batches, with no more columns, at any depth, than are used."""
    try:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:
            leaves = [parquet.schema.column(i) for i in range(len(parquet.schema))]
            texts = [leaf.path for leaf in leaves if leaf.logical_type.type == "STRING"]
            # conversation.list.element.role: the two in the middle are called as the writer liked.
            turns = [path for path in texts if path.startswith("conversation.") and path.count(".") == 3]
            used = {path.split(".")[-1]: path for path in turns if path.endswith((".role", ".content"))}
            used |= {path: path for path in texts if path in _COLUMNS}
            needed = ["conversation_hash", "role", "content"] + ["hashed_ip"] * (source.user_is == "user")
            if missing := [column for column in needed if column not in used]:
                what = (
                    f"turns with '{missing[0]}'" if missing[0] in ("role", "content") else f"text column '{missing[0]}'"
                )
                remedy = " Set 'user_is: conversation' for it." if missing == ["hashed_ip"] else ""
                raise RecenterError(f"{file} of source '{source.name}' has no {what}.{remedy}")
            yield from parquet.iter_batches(
                ROWS, columns=[used[column] for column in (*needed, "language") if column in used]
            )
    except (pa.ArrowException, OSError, ValueError) as problem:
        raise _unreadable(file, problem) from None


def _unreadable(file: Path, problem: BaseException) -> RecenterError:
    reason = printable(" ".join(str(problem).split()), 200)
    return RecenterError(f"{file} cannot be read as parquet; copy or download it again. ({reason})")


def _sorted_out(source: Source, name: str, first: int, arrow: pa.RecordBatch) -> tuple[pl.DataFrame, list[Draft]]:
    """Return the rows that can stay as they are, as conversations with their `row`, and a draft of each other one."""
    numbers = range(first, first + arrow.num_rows)
    try:
        arrow.validate(full=True)
    except pa.ArrowInvalid:  # text that is no UTF-8, which polars would take unchecked
        columns = [_bytes(column) for column in arrow.columns]
        values = pa.RecordBatch.from_arrays(columns, arrow.schema.names).to_pylist()
        return _no_rows(), [_draft(name, row, _text(value)) for row, value in zip(numbers, values, strict=True)]
    frame = pl.DataFrame(arrow).with_columns(row=pl.Series(numbers, dtype=pl.Int64))
    frame = frame.with_columns(pl.lit(None, pl.String).alias(column) for column in _COLUMNS if column not in frame)
    plain = frame.select(_is_plain(source)).to_series()
    drafts = [_draft(name, row["row"], row) for row in frame.filter(~plain).iter_rows(named=True)]
    turn, prefix = pl.element().struct, pl.lit(f"{source.name}/")
    languages = {value: language_name(value) or None for value in frame["language"].drop_nulls().unique()}
    conversations = frame.filter(plain).select(
        conversation_id=prefix + pl.col("conversation_hash"),
        user_id=prefix + pl.col("hashed_ip" if source.user_is == "user" else "conversation_hash"),
        source=pl.lit(source.name),
        language=pl.col("language").replace_strict(languages, return_dtype=pl.String),
        turns=pl.col("conversation").list.eval(pl.struct(turn.field("role"), turn.field("content"))),
        row="row",
    )
    return conversations, drafts


def _mended(source: Source, drafts: list[Draft]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what cleaning made of the drafts: conversations with their `row`, and problems."""
    cleaned = list(batches(source, drafts))
    problems = pl.concat([batch.problems for batch in cleaned])
    refused = set(problems.filter(action="refused")["row"])
    rows = [draft.rows[0] for draft in drafts if draft.rows[0] not in refused]
    conversations = pl.concat([batch.conversations for batch in cleaned])
    return conversations.with_columns(row=pl.Series(rows, dtype=pl.Int64)), problems


def _no_rows() -> pl.DataFrame:
    return table("conversations").empty().with_columns(row=pl.lit(None, pl.Int64))


def _is_plain(source: Source) -> pl.Expr:
    role, content = pl.element().struct.field("role"), pl.element().struct.field("content")
    good = (
        role.is_in(ROLES)
        & content.str.contains(r"\S")
        & ~content.str.contains(_CONTROLS)
        & (content.str.len_bytes() <= MAX_TURN_BYTES)
    )
    turns = pl.col("conversation").list
    plain = turns.eval(good.fill_null(False)).list.all() & turns.eval(role == "user").list.any()
    plain &= pl.col("conversation_hash").str.contains(_IDENTIFIER)
    if source.user_is == "user":
        plain &= pl.col("hashed_ip").str.contains(_IDENTIFIER)
    return plain.fill_null(False).alias("plain")


def _refusals(name: str, found: pl.DataFrame) -> pl.DataFrame:
    return found.select(
        "source",
        file=pl.lit(name),
        row="row",
        conversation_id="conversation_id",
        action=pl.lit("refused"),
        reason=pl.lit("its conversation_id stands already in an earlier row"),
    )


def _bytes(column: pa.Array) -> pa.Array:
    if not pa.types.is_nested(column.type):
        return column.cast(pa.binary())
    return column.cast(pa.list_(pa.struct([(field.name, pa.binary()) for field in column.type.value_type])))


def _text(value: Any) -> Any:
    """Return bytes as text in which what is no UTF-8 is lone surrogates, which cleaning replaces and reports."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, list):
        return [_text(item) for item in value]
    return {key: _text(item) for key, item in value.items()} if isinstance(value, dict) else value
