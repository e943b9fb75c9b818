"""Failure categories that somebody checked by hand, beside those that the model gave."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl

from recenter_utils.attributes.categories import CANDIDATES, OTHERS, SUPPORTED, normalised
from recenter_utils.errors import RecenterError
from recenter_utils.stats.agreement import pairwise

if TYPE_CHECKING:
    from recenter_utils.study import Study

SCHEMA = pl.Schema({"item_id": pl.String, "category": pl.String, "rater": pl.String})
#: Cases that the simulated checker of a study without people looks at.
SIMULATED_SAMPLE = 100
#: How rows of a file without the column `rater`, and the simulated checker, are called.
CHECKER, SIMULATED_CHECKER = "checker", "simulated checker"
#: What the names of simulated checkers begin with.
SIMULATED = "simulated"


def read(study: Study, failures: pl.DataFrame, attributes: pl.DataFrame) -> pl.DataFrame:
    """Return the checked sample, columns item_id, category, rater; no rows where the study has none.

    It is the file that `annotation.checked_failures` names. A study of simulated annotators that names none has a
    simulated checker, who sorts a random sample of the cases by the planted truth.

    failures, attributes: the tables `failures` and `merged_attributes`. Answers about attributes that are not among
    the failures are left out.
    """
    if path := study.read_named("annotation.checked_failures", "human"):
        found = from_file(path)
    elif folder := study.read_named("annotation.simulated", "simulated"):
        found = simulated(folder, failures, attributes, study.settings.seed)
    else:
        found = SCHEMA.to_frame()
    return found.join(failures.select("item_id"), on="item_id", how="semi").sort("item_id", "rater")


def from_file(path: Path) -> pl.DataFrame:
    """Read a CSV or JSON-lines file of item_id, category and, if there is one, rater.

    A category may be called by its name or its title. The same answer twice is one; two different ones of a rater on
    a case are refused, as are rows without an item or a category.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        lines = path.suffix.lower() in (".jsonl", ".ndjson", ".json")
        frame = pl.read_ndjson(io.StringIO(text)) if lines else pl.read_csv(io.StringIO(text), infer_schema=False)
    except FileNotFoundError:
        raise RecenterError(f"There is no {path}, which annotation.checked_failures names in study.yaml.") from None
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError) as problem:
        raise RecenterError(f"{path} cannot be read: {' '.join(str(problem).split())[:200]}.") from None
    if lacking := [name for name in ("item_id", "category") if name not in frame.columns]:
        raise RecenterError(f"{path} has no column '{lacking[0]}'; it has {', '.join(frame.columns) or 'none'}.")
    rater = pl.col("rater") if "rater" in frame.columns else pl.lit(None, pl.String)
    known = {normalised(word): category.name for category in CANDIDATES for word in (category.name, category.title)}
    names = {name: normalised(name or "") for name in frame["category"].cast(pl.String).unique().to_list()}
    found = frame.select(
        pl.col("item_id").cast(pl.String).str.strip_chars(),
        pl.col("category").cast(pl.String).replace_strict(names, return_dtype=pl.String).replace(known),
        rater.cast(pl.String).fill_null(CHECKER).alias("rater"),
    ).unique(maintain_order=True)
    if (blank := found.filter(pl.any_horizontal(pl.col("item_id", "category").fill_null("") == ""))).height:
        raise RecenterError(f"{path}: {len(blank):,} rows have no item_id or no category.")
    twice = found.filter(found.select("item_id", "rater").is_duplicated())
    if len(twice):
        item, rater_name = twice.select("item_id", "rater").row(0)
        raise RecenterError(
            f"{path}: {twice['item_id'].n_unique():,} cases have two categories by one rater, the first '{item}' by "
            f"'{rater_name}'; keep one of them."
        )
    return found


def simulated(folder: Path, failures: pl.DataFrame, attributes: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return what a checker would say who knows the planted truth, on a random sample of the cases."""
    truth = pl.read_ndjson(
        folder / "attributes.jsonl",
        schema={"user_id": pl.String, "attribute": pl.String, "failure_mode": pl.String},
    ).unique(["user_id", "attribute"], keep="first", maintain_order=True)
    known = (
        failures.select("item_id")
        .join(attributes.select("user_id", "attribute", item_id="attribute_id"), on="item_id")
        .join(truth, on=["user_id", "attribute"])
        .sort("item_id")
    )
    return known.sample(min(SIMULATED_SAMPLE, len(known)), seed=seed, shuffle=True).select(
        "item_id", category=pl.col("failure_mode").fill_null(SUPPORTED), rater=pl.lit(SIMULATED_CHECKER)
    )


def agreement(failures: pl.DataFrame, checked: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Return one row a checker and statistic (`kappa`, `agreement`): how far the model's categories agree with theirs.

    People are `checker A` and so on, by the order of their names, which are not given; who is simulated keeps a name.
    Columns rater, statistic, n (cases that both sorted), value, low, high (an interval over users), reason.
    """
    rows = []
    called = _called(checked["rater"].unique().sort().to_list())
    for (rater,), part in checked.sort("rater", "item_id").group_by("rater", maintain_order=True):
        both = _beside(failures, part).to_pandas()
        labels = sorted(set(both["model_says"]) | set(both["checker_says"]))
        for statistic in ("agreement", "kappa"):
            found = pairwise(
                both[["checker_says", "model_says"]], labels, statistic=statistic, clusters=both["user_id"], seed=seed
            ).iloc[0]
            columns = ("n", "value", "low", "high", "reason")
            rows.append({"rater": called[str(rater)], "statistic": statistic} | {name: found[name] for name in columns})
    number: Any = pl.Float64
    schema = {"rater": pl.String, "statistic": pl.String, "n": pl.Int64}
    schema |= dict.fromkeys(("value", "low", "high"), number) | {"reason": pl.String}
    return pl.DataFrame(rows, schema=schema).with_columns(pl.col("value", "low", "high").fill_nan(None))


def _called(raters: Sequence[str]) -> dict[str, str]:
    """Return how each checker is called on a page."""
    people = [rater for rater in raters if not rater.startswith(SIMULATED)]
    return {rater: rater for rater in raters} | {rater: f"checker {_letters(n)}" for n, rater in enumerate(people)}


def _letters(n: int) -> str:
    """Return A for 0, Z for 25, AA for 26."""
    return (_letters(n // 26 - 1) if n > 25 else "") + chr(ord("A") + n % 26)


def confusion(failures: pl.DataFrame, checked: pl.DataFrame, titles: Mapping[str, str]) -> pl.DataFrame:
    """Return how often a checker said what (a row) where the model said what (a column); all checkers together.

    titles: what `categories.in_print` gave of all categories.
    """
    both = _beside(failures, checked).to_pandas()
    found = set(both["model_says"]) | set(both["checker_says"])
    names = [category.name for category in CANDIDATES if category.name in found]
    names += sorted(found - set(names) - {OTHERS}) + [OTHERS] * (OTHERS in found)
    counts = pd.crosstab(both["checker_says"], both["model_says"]).reindex(index=names, columns=names, fill_value=0)
    wide = pl.DataFrame({f"model: {titles[name]}": counts[name].to_numpy() for name in names})
    return wide.insert_column(0, pl.Series("checked", [titles[name] for name in names], dtype=pl.String))


def _beside(failures: pl.DataFrame, checked: pl.DataFrame) -> pl.DataFrame:
    """Return the cases that both the model and a checker sorted."""
    model = failures.drop_nulls("category").select("item_id", "user_id", model_says="category")
    return checked.select("item_id", "rater", checker_says="category").join(model, on="item_id", maintain_order="left")
