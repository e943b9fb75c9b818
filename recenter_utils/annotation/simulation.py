"""Simulated annotators: answers drawn from a planted truth, where a study has no people (the demo).

They are called `simulated` wherever they stand. What they plant (how often each gives which answer to which true
label) is what the analyses must find again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal

import polars as pl
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from recenter_utils.errors import RecenterError
from recenter_utils.lots import uniform
from recenter_utils.scales import ATTRIBUTE_QUALITY

Share = Annotated[float, Field(ge=0, le=1)]

#: Names of simulated annotators begin so, and no person's does: who is which, a name says.
PREFIX = "simulated-"

#: Spread of the times an answer takes, as the deviation of their logarithm.
TIME_SPREAD = 0.6

ANSWERS: dict[str, Any] = {
    "item_id": pl.String,
    "rater": pl.String,
    "label": pl.String,
    "flagged": pl.Boolean,
    "seconds": pl.Float64,
    "answered_at": pl.Datetime("ms", "UTC"),
}


class Relevance(BaseModel):
    """How an annotator judges relevance: yes where strength + noise · N(0, 1) exceeds the threshold.

    The strength is the truth's, 0 (none) to 3 (decisive); see `simulated_relevance`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float
    noise: float = Field(gt=0)


class Preference(BaseModel):
    """How an annotator compares responses, in points of the five-point scale; see `simulated_preference`.

    lean: towards personalised responses as such. uplift: what an attribute that is named outright is worth. noise:
    deviation of what is its own in each answer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lean: float
    uplift: float
    noise: float = Field(gt=0)


class Annotator(BaseModel):
    """One simulated annotator: what it answers to each true label, and how it works.

    Without `relevance` it answers nothing in stage 2, without `preference` nothing in stage 3.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    answers: dict[str, dict[str, Share]]
    relevance: Relevance | None = None
    preference: Preference | None = None
    part: Literal["all", "pilot"] = "all"
    flags: Share = 0.0
    seconds: float = Field(10, gt=0)

    @model_validator(mode="after")
    def _rows_are_distributions(self) -> Annotator:
        labels = set(ATTRIBUTE_QUALITY.labels)
        for true, row in {label: self.answers.get(label, {}) for label in sorted(labels | set(self.answers))}.items():
            if true not in labels or set(row) != labels or not math.isclose(sum(row.values()), 1, abs_tol=1e-6):
                raise ValueError(f"'answers.{true}' must share 1 among {', '.join(sorted(labels))}")
        return self


class Annotators(BaseModel):
    """All simulated annotators of a study.

    pilot_pages: pages from the first on that those of the pilot judge. qualities: what the personalised responses of a
    generator are worth beside its generic ones, in points; comparisons of other generators have no planted truth.
    pages: deviation of what all annotators see alike in a page of stage 3, in points.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    started: AwareDatetime = datetime(2026, 1, 12, 9, tzinfo=UTC)
    pilot_pages: int = Field(10, ge=0)
    qualities: dict[str, float] = {}
    pages: float = Field(0.0, ge=0)
    annotators: dict[str, Annotator] = Field(min_length=1)

    @field_validator("annotators")
    @classmethod
    def _are_named_as_simulated(cls, given: dict[str, Annotator]) -> dict[str, Annotator]:
        for name in given:
            if not name.startswith(PREFIX):
                raise ValueError(f"'{name}' must be called {PREFIX}{name}, so that nobody takes it for a person")
        return given


def annotators(folder: Path) -> Annotators:
    """Read annotators.yaml in the folder of a truth; raise naming the key at fault."""
    path = folder / "annotators.yaml"
    try:
        return Annotators.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise RecenterError(f"There is no {path}: annotation.simulated in study.yaml must name a truth.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as problem:
        raise RecenterError(f"{path} is not readable YAML: {' '.join(str(problem).split())}") from None
    except ValidationError as problem:
        fault = problem.errors()[0]
        raise RecenterError(f"{path}: {'.'.join(map(str, fault['loc']))}: {fault['msg']}.") from None


def truth(folder: Path) -> pl.DataFrame:
    """Read attributes.jsonl, and refined.jsonl if it is there, in the folder of a truth: user_id, attribute, label.

    What both files hold has the label of the first.
    """
    path = folder / "attributes.jsonl"
    if not path.is_file():
        raise RecenterError(f"There is no {path}: annotation.simulated in study.yaml must name a truth.")
    columns = {"user_id": pl.String, "attribute": pl.String, "label": pl.String}
    files = [path, *folder.glob("refined.jsonl")]
    found = pl.concat([pl.read_ndjson(file, schema=columns) for file in files]).unique(
        ["user_id", "attribute"], keep="first", maintain_order=True
    )
    if unknown := set(found["label"]) - set(ATTRIBUTE_QUALITY.labels):
        raise RecenterError(f"{path}: '{sorted(map(str, unknown))[0]}' is no label of attribute quality.")
    return found


def simulate(items: pl.DataFrame, who: Annotators, seed: int) -> pl.DataFrame:
    """Return what the annotators answer to each item whose true label is known, in the columns ANSWERS.

    items: item_id, page (its place in the order of pages, from 0) and label (the true one; null: not answered).

    Each answer is drawn by itself, from the seed, the annotator and the item: other items, other annotators and the
    order of the rows change none. Annotators work page by page, one answer after the other, from `started` on.
    """
    known = items.drop_nulls("label").select("item_id", "page", "label").unique()
    return work(known, who, seed, lambda one, true, place: _drawn(one.answers[true], place))


def work(
    known: pl.DataFrame, who: Annotators, seed: int, answer: Callable[[Annotator, Any, float], str | None]
) -> pl.DataFrame:
    """Return what the annotators answer, in the columns ANSWERS; see `simulate`.

    known: item_id, page and a third column, what is true of the item. answer: from an annotator, that truth and a
    number between 0 and 1 drawn for the two, to the label; None where the annotator does not answer such items.
    """
    rows = []
    for name, one in who.annotators.items():
        at = who.started
        for item, page, true in known.sort("page", "item_id").iter_rows():
            if one.part == "pilot" and page >= who.pilot_pages:
                continue
            drawn, flag, pace = (uniform(seed, name, item, what) for what in ("answer", "flag", "pace"))
            label = answer(one, true, drawn)
            if label is None:
                continue
            seconds = round(one.seconds * math.exp(TIME_SPREAD * NormalDist().inv_cdf(pace)), 1)
            at += timedelta(seconds=seconds)
            rows.append((item, name, label, flag < one.flags, seconds, at))
    return pl.DataFrame(rows, schema=ANSWERS, orient="row")


def _drawn(shares: dict[str, float], place: float) -> str:
    """Return the label at a place from 0 to 1 along the shares laid end to end, in the order of the scale."""
    reached = 0.0
    for label in ATTRIBUTE_QUALITY.labels:
        reached += shares[label]
        if place < reached:
            return label
    return max(shares, key=shares.__getitem__)  # rounding left the last label short of 1
