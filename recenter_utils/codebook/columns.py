"""What tables are described with: a table, its columns, and the columns that many tables share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pandera.polars as pa


@dataclass(frozen=True)
class Column:
    """A column: its type, meaning, unit or allowed values, and what is checked, as pandera names it."""

    dtype: Any
    description: str
    unit: str
    nullable: bool
    check: tuple[Any, ...]  # the name of one of pandera's checks, and its arguments; none where it is empty


@dataclass(frozen=True)
class Table:
    """A table's columns, which of them identify a row, if any do, and what one row of it stands for."""

    name: str
    one_row: str
    described: Mapping[str, Column]
    key: Sequence[str]

    @cached_property
    def columns(self) -> pl.Schema:
        """Column name to polars type, in order."""
        return pl.Schema({name: column.dtype for name, column in self.described.items()})

    @cached_property
    def schema(self) -> pa.DataFrameSchema:
        """What checks a frame. Made on first use: pandera, with the pandas that it brings along, is slow to load."""
        import pandera.polars as pa

        columns = {
            name: pa.Column(
                column.dtype,
                getattr(pa.Check, column.check[0])(*column.check[1:]) if column.check else None,
                nullable=column.nullable,
                description=column.description,
                metadata={"unit": column.unit},
            )
            for name, column in self.described.items()
        }
        unique = list(self.key) or None
        return pa.DataFrameSchema(columns, name=self.name, strict=True, coerce=True, unique=unique, ordered=True)

    def empty(self) -> pl.DataFrame:
        """Return the table without rows, so that an empty result still has its columns."""
        return pl.DataFrame(schema=self.columns)

    def frame(self, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
        """Return rows as the table: its columns in order, null where a row lacks one or holds NaN."""
        columns = self.columns
        found = pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], schema=columns)
        return found.with_columns(pl.col(pl.Float64).fill_nan(None))


def column(
    dtype: Any, description: str, *, unit: str = "", nullable: bool = False, check: tuple[Any, ...] = ()
) -> Column:
    """Describe a column: its type, meaning, unit or allowed values."""
    return Column(dtype, description, unit, nullable, check)


def share(description: str, nullable: bool = False) -> Column:
    """Describe a proportion."""
    return column(pl.Float64, description, unit="0 to 1", nullable=nullable, check=("in_range", 0, 1))


def count(description: str) -> Column:
    """Describe a number of things."""
    return column(pl.Int64, description, unit="count", check=("ge", 0))


def one_of(values: Iterable[str], description: str, nullable: bool = False) -> Column:
    """Describe a column of a few allowed values."""
    values = list(values)
    return column(pl.String, description, unit=" | ".join(values), nullable=nullable, check=("isin", values))


def text(description: str, nullable: bool = False) -> Column:
    """Describe a column of words or identifiers."""
    return column(pl.String, description, nullable=nullable)


USER = text("The person, by an identifier that is unique over all sources of the study.")
SOURCE = text("The source in study.yaml that the row comes from.")
KIND = one_of(("real", "synthetic"), "Whether the source holds people's own chats or a synthetic benchmark.")


def table(name: str, one_row: str, columns: dict[str, Column], key: list[str]) -> Table:
    """Return a table; `key` names the columns that identify a row."""
    return Table(name, one_row, columns, key)
