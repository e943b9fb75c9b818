"""The codebook: one schema for every table of a study.

A schema fixes columns, types, units and allowed values; `Study.write` refuses a frame that breaks it,
and the book's codebook page is generated from here, so the three cannot drift apart.
"""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook import attributes, judgments, ledger, mentions, preferences, relevance, responses, rewards
from recenter_utils.codebook.attributes import ROLES, TURNS, USER_FILTERS
from recenter_utils.codebook.columns import Table
from recenter_utils.errors import RecenterError, nearest

#: In the order of the study.
_PARTS = (attributes, judgments, relevance, responses, preferences, mentions, rewards, ledger)

TABLES: dict[str, Table] = {table.name: table for part in _PARTS for table in part.TABLES}


def table(name: str) -> Table:
    """Return the table called `name`, or raise with the nearest name."""
    if name not in TABLES:
        raise RecenterError(f"There is no table '{name}'.{nearest(name, TABLES)}")
    return TABLES[name]


def check(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with the types of table `name`, or raise with every column and value at fault."""
    spec = table(name)
    if missing := [column for column in spec.columns if column not in frame.columns]:
        raise RecenterError(f"Table '{name}' lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}.")
    if extra := [column for column in frame.columns if column not in spec.columns]:
        raise RecenterError(f"Table '{name}' has no column '{extra[0]}'.{nearest(extra[0], spec.columns)}")
    from pandera.errors import SchemaErrors

    try:
        return spec.schema.validate(frame.select(list(spec.columns)), lazy=True)
    except SchemaErrors as problem:
        faults = problem.failure_cases.head(3).to_dicts()
        lines = "; ".join(
            f"{fault['column']}: {fault['check']} fails for {fault['failure_case']!r}" for fault in faults
        )
        raise RecenterError(f"Table '{name}' does not fit its schema: {lines}.") from None


__all__ = ["ROLES", "TABLES", "TURNS", "USER_FILTERS", "Table", "check", "table"]
