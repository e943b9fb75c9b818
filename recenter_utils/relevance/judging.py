"""Judging relevance (§5.1): every model of the study is asked about every pair with the prompt of I.8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recenter_utils.inference import judges
from recenter_utils.inference.judges import Judge
from recenter_utils.inference.judges import worth_asking as worth_asking
from recenter_utils.inference.models import Model
from recenter_utils.inference.tasks import RELEVANCE_JUDGMENT
from recenter_utils.scales import RELEVANCE


def ask(
    items: pl.DataFrame,
    models: Sequence[Model],
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask every model about every pair.

    items: pair_id, attribute and prompt, the request's text (see `pairing.worded`). max_cost: US dollars for each
    model.

    Returns judgments in the columns of `relevance_judgments`, a row a usable answer, and failures: rater, error, n. A
    judgment's score is the probability of YES against NO where the engine gives one, else null: a 1 or 0 in its place
    would pass for the surest grade. Its reason is all that stood before the final line.
    """
    asked = [Judge(model.name, model, RELEVANCE_JUDGMENT) for model in models]
    worded = items.rename({"pair_id": "item_id"})
    slots = ("attribute", "prompt")
    return judges.ask(
        worded, slots, asked, RELEVANCE, numbered=False, cache=cache, max_cost=max_cost, progress=progress
    )
