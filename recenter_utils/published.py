"""The paper's own numbers, from data/published/: shown beside a study's, never part of what it computes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recenter_utils.codebook.ledger import QUALIFIERS, TAGS
from recenter_utils.errors import RecenterError, first_rows, nearest
from recenter_utils.scales import RATER_KINDS
from recenter_utils.study import Study, find_root

if TYPE_CHECKING:
    import pandas as pd

#: What an origin badge calls these numbers.
ORIGIN = "published"

#: Columns of every file; data/published/README.md says what they hold.
COLUMNS = ("item", "kind", "other", "other_kind", "statistic", "value", "unit", "source", "tag")

#: The file of what the paper comes down to, a row a finding, and its columns.
FINDINGS = "findings"
FINDING_COLUMNS = ("key", "stage", "finding", "value", "qualifier", "unit", "n", "n_of", "source", "tag")

#: Counts of a selector against a reference: true and false positives, false negatives, all pairs.
COUNTS = ("tp", "fp", "fn", "n")

_MAY_BE_EMPTY = ("kind", "other", "other_kind", "qualifier", "n", "n_of")
_TYPES = {"value": pl.Float64, "stage": pl.Int64, "n": pl.Int64}


def path_of(name: str, root: Path) -> Path:
    """Where the numbers of a figure or table such as `figure-3` stand in a workspace."""
    return root / "data" / "published" / f"{name}.csv"


def read(name: str, study: Study | None = None) -> pl.DataFrame:
    """Return the published numbers of a figure or table, such as `figure-3`: a row a number, in the file's order.

    `text` holds those of the text, `findings` what the paper comes down to, in columns of its own.

    study: the study of the notebook that shows them, which must declare them in order.yaml; its origin stays its own.

    Raises RecenterError, with the line, where the file breaks a rule of its README.
    """
    if study and study.caller and name not in study.caller.published:
        raise RecenterError(
            f"Notebook '{study.caller.name}' reads the published '{name}', but notebooks/order.yaml does not say so: "
            "add it under 'published'."
        )
    root = study.root if study else find_root()
    path = path_of(name, root)
    if not path.is_file():
        known = [file.stem for file in path.parent.glob("*.csv")]
        raise RecenterError(f"There are no published numbers '{name}' at {path}.{nearest(name, known)}")
    with path.open(encoding="utf-8", newline="") as stream:
        lines = list(csv.reader(stream))
    columns = FINDING_COLUMNS if name == FINDINGS else COLUMNS
    if not lines or tuple(lines[0]) != columns:
        raise RecenterError(f"{path}: the first line must name the columns {', '.join(columns)}.")
    if faults := list(_faults(lines[1:], columns)):
        raise RecenterError(f"{path}: {first_rows(faults)}.")
    frame = pl.DataFrame(lines[1:], schema=dict.fromkeys(columns, pl.String), orient="row")
    empty = [pl.col(column).replace("", None) for column in columns if column in _MAY_BE_EMPTY]
    return frame.with_columns(empty).cast({column: _TYPES[column] for column in columns if column in _TYPES})


def _faults(rows: list[list[str]], columns: tuple[str, ...]) -> Iterator[str]:
    seen: dict[tuple[str, ...], int] = {}
    for line, cells in enumerate(rows, 2):
        if len(cells) != len(columns):
            yield f"line {line} has {len(cells)} columns, not {len(columns)}"
            continue
        row = dict(zip(columns, cells, strict=True))
        if lacking := [column for column in columns if not row[column].strip() and column not in _MAY_BE_EMPTY]:
            yield f"line {line} has no {lacking[0]}"
        elif row["tag"] not in TAGS:
            yield f"line {line}: '{row['tag']}' is no tag; {', '.join(TAGS)} are"
        elif strange := [row[name] for name in ("kind", "other_kind") if row.get(name) not in (None, "", *RATER_KINDS)]:
            yield f"line {line}: '{strange[0]}' is no kind of rater; {', '.join(RATER_KINDS)} are"
        elif row.get("qualifier") not in (None, "", *QUALIFIERS):
            yield f"line {line}: '{row['qualifier']}' is no qualifier; {', '.join(QUALIFIERS)} are"
        elif odd := [row[name] for name, dtype in _TYPES.items() if row.get(name) and not _is_number(row[name], dtype)]:
            yield f"line {line}: '{odd[0]}' is no {'number' if odd[0] == row['value'] else 'whole number'}"
        elif (key := _key(row)) in seen:
            yield f"line {line} says what line {seen[key]} says: {' of '.join(key[:2])}"
        else:
            seen[key] = line


def _key(row: dict[str, str]) -> tuple[str, ...]:
    """Return what a row is about, the same for a pair in either order."""
    if "key" in row:
        return (row["key"],)
    return (row["statistic"], *sorted((row["item"], row["other"]), key=lambda name: (not name, name)))


def _is_number(text: str, dtype: pl.DataType | type[pl.DataType] = pl.Float64) -> bool:
    try:
        return math.isfinite(float(text)) and (dtype == pl.Float64 or text.isdecimal())
    except ValueError:
        return False


def numbers(frame: pl.DataFrame, statistic: str) -> dict[str, float]:
    """Return one statistic of everything that has it, by item, in the order of the file."""
    return dict(frame.filter(statistic=statistic).select("item", "value").iter_rows())


def pairs(frame: pl.DataFrame, statistic: str = "kappa") -> pd.DataFrame:
    """Return a statistic of pairs of raters as `stats.agreement.pairwise` has it: rater_a, rater_b, value."""
    found = frame.filter(pl.col("statistic") == statistic)
    return found.select(rater_a="item", rater_b="other", value="value").to_pandas()


def kinds(frame: pl.DataFrame) -> dict[str, str]:
    """Return what each rater is, in the order of the file."""
    sides = [frame.select("item", "kind"), frame.select(item="other", kind="other_kind")]
    return dict(pl.concat(sides).drop_nulls().iter_rows())


def counts(frame: pl.DataFrame) -> pl.DataFrame:
    """Return tp, fp, fn and n of each selector that has all four: item, kind and the four."""
    found = frame.filter(pl.col("statistic").is_in(COUNTS)).with_columns(pl.col("value").cast(pl.Int64))
    if found.is_empty():
        return pl.DataFrame(schema={"item": pl.String, "kind": pl.String} | dict.fromkeys(COUNTS, pl.Int64))
    wide = found.pivot("statistic", index=["item", "kind"], values="value", maintain_order=True)
    lacking = [pl.lit(None, pl.Int64).alias(name) for name in COUNTS if name not in wide.columns]
    return wide.with_columns(lacking).select("item", "kind", *COUNTS).drop_nulls(COUNTS)
