"""Judgments: what people (or simulated annotators) answered, from wherever it was collected, in one long table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recenter_utils import provenance
from recenter_utils.annotation import simulated_preference, simulated_relevance, simulation
from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import find_task
from recenter_utils.scales import PREFERENCE, RELEVANCE, Scale
from recenter_utils.tables import table

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: The table whose columns every table of judgments has.
COLUMNS = table("quality_judgments").columns

CHECKS = pl.Schema({"rater": pl.String, "item_id": pl.String, "label": pl.String, "passed": pl.Boolean})

GONE = "answers to what the study does not judge now"
REWORDED = "answers to a former wording of what is judged"
TAKEN_BACK = "answers on pages that were taken back from the annotator"


@dataclass(frozen=True)
class Gathered:
    """Judgments of one task, and what was left out of them.

    judgments: in the columns of the codebook. checks: answers to check items (rater, item_id, label, passed).
    left_out: why, n (answers), raters; a row for each reason that left anything out. skipped: items that simulated
    annotators do not answer on, because no truth is planted for them. judged: what the items are, in the plural.
    """

    judgments: pl.DataFrame
    checks: pl.DataFrame
    left_out: pl.DataFrame
    skipped: int = 0
    judged: str = "attributes"

    @property
    def words(self) -> str:
        """How many answers do not count, and how many items simulated annotators skip."""
        n = self.left_out["n"].sum()
        said = f"{n:,} {'answer does' if n == 1 else 'answers do'} not count; they stay where they were given."
        if self.skipped:
            said += f" Simulated annotators skip {self.skipped:,} {self.judged} for which no truth is planted."
        return said

    @property
    def made_by(self) -> str:
        """Who answered, as origins joined: what `Study.write` takes."""
        return provenance.join(self.judgments["rater_kind"].unique().to_list())


def items_of(pages: Sequence[Page]) -> pl.DataFrame:
    """Return what is judged on the pages: item_id, page_id, page (its place, from 0), version, attribute.

    Check items are none of it.
    """
    rows = [
        (item.item_id, page.page_id, place, page.item_version(item), item.attribute)
        for place, page in enumerate(pages)
        for item in page.items
        if item.expected is None
    ]
    types = {"item_id": pl.String, "page_id": pl.String, "page": pl.Int64, "version": pl.String}
    return pl.DataFrame(rows, schema=types | {"attribute": pl.String}, orient="row")


def gather(study: Study, task: str, items: pl.DataFrame) -> Gathered:
    """Return what was answered on `items`: by people on the screens or in imported files, and by simulated annotators.

    An answer counts if it was given to the wording that the item has now, and if its page was not taken back from the
    annotator. Of several answers by one rater to one item the newest counts. The same goes for check items.

    Args:
        study: Its store of answers is read, and its truth where it has simulated annotators.
        task: Such as `attribute_quality`.
        items: item_id and version, all that the study judges now; for simulated annotators also page_id (the user
            of attribute quality, the request of relevance), page and attribute, as `items_of` gives them. Of
            preference they answer only what `simulated_preference.with_truth` has described.
    """
    path = study.read_answers(task)
    answers = pl.DataFrame(schema=COLUMNS)
    checks = CHECKS.to_frame()
    out: dict[str, tuple[int, list[str]]] = {}
    skipped = 0
    if path.is_file():
        with Store(path) as store:
            held, on_pages = store.answers(), [item.item_id for page in store.pages() for item in page.items]
        answers, checks, out = _of_people(held, task, items, on_pages)
    scale = find_task(task).scale
    if study.simulated and (scale is not PREFERENCE or "generator" in items.columns):
        found, skipped = _of_simulated(study.simulated, scale, items, study.settings.seed)
        answers = pl.concat([answers, _as_judgments(found.with_columns(rater_kind=pl.lit("simulated")), task)])
    schema: dict[str, Any] = {"why": pl.String, "n": pl.Int64, "raters": pl.List(pl.String)}
    rows = [(why, n, raters) for why, (n, raters) in out.items() if n]
    left_out = pl.DataFrame(rows, schema=schema, orient="row")
    return Gathered(answers.sort("item_id", "rater"), checks, left_out, skipped, scale.judged)


def progress(judgments: pl.DataFrame, items: pl.DataFrame, raters: int, judged: str = "attributes") -> pl.DataFrame:
    """Return how far the work is, a row a group of `items` (its column `group`): items by number of answers.

    judgments: item_id, one row an answer. raters: answers an item needs. Columns: group, attributes (all items of the
    group; `judged` names them otherwise), unanswered, begun (some answers, but fewer than needed), complete.
    """
    counts = judgments.group_by("item_id").agg(n=pl.len())
    n = pl.col("n").fill_null(0)
    return (
        items.join(counts, on="item_id", how="left")
        .group_by("group", maintain_order=True)
        .agg(
            pl.len().alias(judged),
            unanswered=(n == 0).sum(),
            begun=((n > 0) & (n < raters)).sum(),
            complete=(n >= raters).sum(),
        )
    )


def _of_simulated(folder: Path, scale: Scale, items: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, int]:
    """Return what simulated annotators answer, in `simulation.ANSWERS`, and how many items have no planted truth."""
    who = simulation.annotators(folder)
    if scale is RELEVANCE:
        truth = simulated_relevance.truth(folder).rename({"prompt_id": "page_id"})
        known = items.join(truth, on=["page_id", "attribute"], how="left")
        return simulated_relevance.simulate(known, who, seed), known["strength"].null_count()
    if scale is PREFERENCE:
        unknown = int((~simulated_preference.known(items, who)).sum())
        return simulated_preference.simulate(items, who, seed), unknown
    truth = simulation.truth(folder).rename({"user_id": "page_id"})
    known = items.join(truth, on=["page_id", "attribute"], how="left")
    return simulation.simulate(known, who, seed), known["label"].null_count()


def _of_people(
    held: pl.DataFrame, task: str, items: pl.DataFrame, on_pages: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, tuple[int, list[str]]]]:
    """Return judgments, answers to check items, and how many of what is neither by whom, by the reason why.

    on_pages: the items that the screens show now, check items among them.
    """
    is_check = pl.col("expected").is_not_null()
    holds = (pl.col("version") == pl.col("current_version")) & ~pl.col("released")
    checks = held.filter(is_check, holds, pl.col("item_id").is_in(list(on_pages))).with_columns(
        passed=pl.col("expected").list.contains(pl.col("label"))
    )
    rest = held.filter(~is_check).join(items.select("item_id", now="version"), on="item_id", how="left")
    reasons = (
        pl.when(pl.col("now").is_null())
        .then(pl.lit(GONE))
        .when(pl.col("version") != pl.col("now"))
        .then(pl.lit(REWORDED))
        .when("released")
        .then(pl.lit(TAKEN_BACK))
    )
    rest = rest.with_columns(why=reasons, rater_kind=pl.lit("human"), reason=pl.col("note"))
    parts = {why: rest.filter(why=why)["rater"] for why in (GONE, REWORDED, TAKEN_BACK)}
    out = {why: (len(part), part.unique().sort().to_list()) for why, part in parts.items()}
    judgments = _as_judgments(rest.filter(pl.col("why").is_null()), task)
    return judgments, checks.select(list(CHECKS)).sort("rater", "item_id"), out


def _as_judgments(answers: pl.DataFrame, task: str) -> pl.DataFrame:
    """Return answers in the columns of the codebook; what they lack is null."""
    scale = find_task(task).scale
    scores = {label: float(scale.score(label)) for label in scale.labels}
    score = pl.col("label").replace_strict(scores, return_dtype=pl.Float64)
    full = answers.with_columns(task=pl.lit(scale.task), score=score)
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in COLUMNS.items() if name not in full.columns]
    return full.with_columns(lacking).select(list(COLUMNS)).cast(COLUMNS)
