"""Models as judges: every item is put to every model, and a usable answer becomes a judgment like anybody's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered
from recenter_utils.inference.tasks import Task
from recenter_utils.scales import Scale
from recenter_utils.tables import table

#: The columns of every table of judgments.
COLUMNS = table("quality_judgments").columns

#: What an answer says of an item: a judgment's label, and if it has them score, reason and first_shown.
Reading = Callable[[Mapping[str, Any], Mapping[Any, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Judge:
    """A model with the task that it is given, and what tables call the two."""

    rater: str
    model: Model
    task: Task


def as_it_stands(item: Mapping[str, Any], answer: Mapping[Any, Any]) -> dict[str, Any]:
    """Return what an answer says whose label means the same of every item."""
    return {"label": answer["label"], "score": answer.get("score"), "reason": answer.get("reasoning")}


def ask(
    items: pl.DataFrame,
    slots: Sequence[str],
    judges: Iterable[Judge],
    scale: Scale,
    *,
    read: Reading = as_it_stands,
    by: Sequence[str] = (),
    numbered: bool = True,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask every judge about every item.

    Args:
        items: item_id and a column for each slot, besides whatever `read` and `by` look at.
        slots: What the tasks' prompts are filled with.
        judges: Who is asked, in order.
        scale: What they answer on; the label that is read is one of its labels.
        read: What an item (a row of `items`) and the fields of a usable answer to it come to.
        by: Columns of strings of `items`, for whose values failures are counted apart.
        numbered: Whether an answer without a graded score has its label's number for a score, or none.
        cache: File of stored answers.
        max_cost: US dollars for each model, over all judges that are this model.
        progress: Whether to say how far it is.

    Returns:
        Judgments in the columns of the codebook, a row a usable answer, with the graded score where an answer has one
        (elsewhere see `numbered`); and failures: rater, the columns `by`, error (see `run`), n.

    Raises:
        RecenterError: A model answered no request at all, because of its server.
    """
    filled, whole = items.select(slots).to_dicts(), items.to_dicts()
    left: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    failures: list[tuple[str, ...]] = []
    for judge in judges if filled else ():
        budget = left.get(judge.model.name, max_cost)
        answers = run(judge.task, filled, judge.model, cache=cache, max_cost=budget, progress=progress)
        unanswered(answers)  # raises where no request at all was answered
        if budget is not None:
            left[judge.model.name] = max(0.0, budget - float(answers["cost"].sum()))
        for item, answer in zip(whole, answers.to_dict("records"), strict=True):
            if isinstance(answer["error"], str):
                failures.append((judge.rater, *(item[name] for name in by), answer["error"]))
            else:
                said = {"score": None} | dict(read(item, answer))
                if said["score"] is None and numbered:
                    said["score"] = scale.score(said["label"])
                rows.append(judgment(scale, item["item_id"], judge.rater, "llm", **said))
    columns = ["rater", *by, "error"]
    counted = pl.DataFrame(failures, schema=dict.fromkeys(columns, pl.String), orient="row")
    return in_columns(rows), counted.group_by(columns, maintain_order=True).agg(n=pl.len().cast(pl.Int64))


def worth_asking(failures: pl.DataFrame) -> int:
    """Return how many of the failures (see `ask`) are worth asking again as they are."""
    return int(failures.filter(pl.col("error").is_in(["server", "budget"]))["n"].sum())


def judgment(
    scale: Scale,
    item: str,
    rater: str,
    kind: str,
    label: str,
    score: float | None,
    reason: str | None = None,
    first_shown: str | None = None,
) -> dict[str, Any]:
    """Return a judgment as a row. score: None where there is none. first_shown: of two responses, if it was asked of
    two."""
    return {
        "task": scale.task,
        "item_id": item,
        "rater": rater,
        "rater_kind": kind,
        "label": label,
        "score": None if score is None else float(score),
        "reason": reason,
        "flagged": False,
        "first_shown": first_shown,
    }


def in_columns(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of judgments in the columns of the codebook; what they lack is null."""
    return pl.DataFrame([dict.fromkeys(COLUMNS) | row for row in rows], schema=COLUMNS)
