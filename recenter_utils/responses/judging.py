"""Judging preferences (§6.1): models compare a personalised response with a generic one, given one attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from recenter_utils.annotation.schema import recoded
from recenter_utils.codebook.responses import CONDITIONS
from recenter_utils.inference import judges
from recenter_utils.inference.judges import Judge
from recenter_utils.inference.judges import worth_asking as worth_asking
from recenter_utils.inference.models import Model
from recenter_utils.inference.tasks import PREFERENCE_JUDGMENT
from recenter_utils.responses import orders
from recenter_utils.scales import PREFERENCE
from recenter_utils.tables import table

SLOTS = ("prompt", "attribute", "response_a", "response_b")

#: What a question to a model is to its comparison: the one that counts, or the one for position bias.
DRAWN, SWAPPED = "drawn", "swapped"

_NO_FAILURES = pl.Schema({"rater": pl.String, "order": pl.String, "error": pl.String, "n": pl.Int64})


class Preferences(NamedTuple):
    """What models said: the tables `preference_judgments` (their rows) and `swapped_judgments`, and what they did not.

    failures: rater, order (of the question: `drawn` or `swapped`), error (see `inference/run.py`), n.
    """

    judgments: pl.DataFrame
    swapped: pl.DataFrame
    failures: pl.DataFrame


def worded(comparisons: pl.DataFrame, prompts: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
    """Return what is compared, in the order of `comparisons`: comparison_id, page_id, prompt, attribute and the texts
    `generic` and `personalised`.

    comparisons, prompts, responses: the tables. Who wrote the responses is not in it: judges are not told.
    """
    found = comparisons.join(
        prompts.select("prompt_id", prompt="text"), on="prompt_id", how="left", maintain_order="left"
    )
    for condition in CONDITIONS:
        texts = responses.select(pl.col("response_id").alias(f"{condition}_id"), pl.col("text").alias(condition))
        found = found.join(texts, on=f"{condition}_id", how="left", maintain_order="left")
    return found.select("comparison_id", "page_id", "prompt", "attribute", *CONDITIONS)


def ask(
    items: pl.DataFrame,
    models: Sequence[Model],
    *,
    both_orders: float = 0.0,
    seed: int = 0,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
) -> Preferences:
    """Ask every model about every comparison, and about a share of them again with the other response first.

    An answer is on A and B as they were shown; it is stored recoded, 1 generic to 5 personalised, with the order. The
    order is drawn for each model and comparison. Which comparisons are judged in both orders is the same for all
    models; they are asked last, so that a budget which ends leaves these out.

    Args:
        items: See `worded`.
        models: Who is asked.
        both_orders: Share of pages whose comparisons are judged in both orders.
        seed: Where the draws start; see `orders`.
        cache: File of stored answers.
        max_cost: US dollars for each model.
        progress: Whether to say how far it is.

    Raises:
        RecenterError: A model answered no request at all, because of its server.
    """
    empty = table("swapped_judgments").empty()
    judgments, swapped, failures = [empty], [empty], [_NO_FAILURES.to_frame()]
    again = orders.in_both(items, both_orders, seed)
    for model in models:
        first, second = (orders.drawn(part, model.name, seed) for part in (items, again))
        asked = [first.with_columns(order=pl.lit(DRAWN)), orders.swapped(second).with_columns(order=pl.lit(SWAPPED))]
        shown = orders.as_shown(pl.concat(asked)).rename({"comparison_id": "item_id"})
        judge = Judge(model.name, model, PREFERENCE_JUDGMENT)
        said, lost = judges.ask(
            shown, SLOTS, [judge], PREFERENCE, read=_recoded, by=["order"],
            cache=cache, max_cost=max_cost, progress=progress,
        )  # fmt: skip
        as_drawn = first.select("first_shown", item_id="comparison_id")
        judgments.append(said.join(as_drawn, on=as_drawn.columns, how="semi", maintain_order="left"))
        swapped.append(said.join(as_drawn, on=as_drawn.columns, how="anti", maintain_order="left"))
        failures.append(lost)
    return Preferences(pl.concat(judgments), pl.concat(swapped), pl.concat(failures))


def _recoded(item: Mapping[str, Any], answer: Mapping[Any, Any]) -> dict[str, Any]:
    first = item["first_shown"]
    label = recoded(str(int(answer["rating"])), first, PREFERENCE)
    return {"label": label, "reason": answer["reasoning"], "first_shown": first}
