"""Models as judges: every item is put to every model, and a usable answer becomes a judgment like anybody's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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

_FAILURES = {"rater": pl.String, "error": pl.String}


@dataclass(frozen=True)
class Judge:
    """A model with the task that it is given, and what tables call the two."""

    rater: str
    model: Model
    task: Task


def ask(
    items: pl.DataFrame,
    slots: Sequence[str],
    judges: Iterable[Judge],
    scale: Scale,
    *,
    numbered: bool = True,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask every judge about every item.

    Args:
        items: item_id and a column for each slot.
        slots: What the tasks' prompts are filled with.
        judges: Who is asked, in order.
        scale: What they answer on; an answer's `label` is one of its labels.
        numbered: Whether an answer without a graded score has its label's number for a score, or none.
        cache: File of stored answers.
        max_cost: US dollars for each model, over all judges that are this model.
        progress: Whether to say how far it is.

    Returns:
        Judgments in the columns of the codebook, a row a usable answer, with the graded score where an answer has one
        (elsewhere see `numbered`); and failures: rater, error (see `run`), n.

    Raises:
        RecenterError: A model answered no request at all, because of its server.
    """
    filled = items.select(slots).to_dicts()
    left: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    failures: list[tuple[str, str]] = []
    for judge in judges if filled else ():
        budget = left.get(judge.model.name, max_cost)
        answers = run(judge.task, filled, judge.model, cache=cache, max_cost=budget, progress=progress)
        unanswered(answers)  # raises where no request at all was answered
        if budget is not None:
            left[judge.model.name] = max(0.0, budget - float(answers["cost"].sum()))
        for item, answer in zip(items["item_id"], answers.to_dict("records"), strict=True):
            if isinstance(answer["error"], str):
                failures.append((judge.rater, answer["error"]))
            else:
                label, score = answer["label"], answer.get("score")
                if score is None and numbered:
                    score = scale.score(label)
                rows.append(judgment(scale, item, judge.rater, "llm", label, score, answer.get("reasoning")))
    counted = pl.DataFrame(failures, schema=_FAILURES, orient="row").group_by("rater", "error", maintain_order=True)
    return in_columns(rows), counted.agg(n=pl.len().cast(pl.Int64))


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
) -> dict[str, Any]:
    """Return a judgment as a row. score: None where there is none."""
    return {
        "task": scale.task,
        "item_id": item,
        "rater": rater,
        "rater_kind": kind,
        "label": label,
        "score": None if score is None else float(score),
        "reason": reason,
        "flagged": False,
    }


def in_columns(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Return rows of judgments in the columns of the codebook; what they lack is null."""
    return pl.DataFrame([dict.fromkeys(COLUMNS) | row for row in rows], schema=COLUMNS)
