"""What tables are described with: a table, its columns, and the columns that many tables share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandera.polars as pa
import polars as pl


@dataclass(frozen=True)
class Table:
    """A table's schema and what one row of it stands for."""

    name: str
    one_row: str
    schema: pa.DataFrameSchema

    @property
    def columns(self) -> pl.Schema:
        """Column name to polars type, in order."""
        return pl.Schema({name: column.dtype.type for name, column in self.schema.columns.items()})

    @property
    def key(self) -> list[str]:
        """The columns that identify a row; empty where rows need no identity."""
        return list(self.schema.unique or [])

    def empty(self) -> pl.DataFrame:
        """Return the table without rows, so that an empty result still has its columns."""
        return pl.DataFrame(schema=self.columns)

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Return rows as the table: its columns in order, null where a row lacks one or holds NaN."""
        columns = self.columns
        found = pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], schema=columns)
        return found.with_columns(pl.col(pl.Float64).fill_nan(None))


def column(dtype: Any, description: str, *, unit: str = "", nullable: bool = False, checks: Any = None) -> pa.Column:
    """Describe a column: its type, meaning, unit or allowed values."""
    return pa.Column(dtype, checks, nullable=nullable, description=description, metadata={"unit": unit})


def share(description: str, nullable: bool = False) -> pa.Column:
    """Describe a proportion."""
    return column(pl.Float64, description, unit="0 to 1", nullable=nullable, checks=pa.Check.in_range(0, 1))


def count(description: str) -> pa.Column:
    """Describe a number of things."""
    return column(pl.Int64, description, unit="count", checks=pa.Check.ge(0))


def one_of(values: Iterable[str], description: str, nullable: bool = False) -> pa.Column:
    """Describe a column of a few allowed values."""
    values = list(values)
    return column(pl.String, description, unit=" | ".join(values), nullable=nullable, checks=pa.Check.isin(values))


def text(description: str, nullable: bool = False) -> pa.Column:
    """Describe a column of words or identifiers."""
    return column(pl.String, description, nullable=nullable)


USER = text("The person, by an identifier that is unique over all sources of the study.")
SOURCE = text("The source in study.yaml that the row comes from.")
KIND = one_of(("real", "synthetic"), "Whether the source holds people's own chats or a synthetic benchmark.")


def table(name: str, one_row: str, columns: dict[str, pa.Column], key: list[str]) -> Table:
    """Return a table; `key` names the columns that identify a row."""
    schema = pa.DataFrameSchema(columns, name=name, strict=True, coerce=True, unique=key or None, ordered=True)
    return Table(name, one_row, schema)
