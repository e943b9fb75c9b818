"""The two filters that ask a model: is a conversation English, and does a user use an assistant (Appendix A)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recenter_utils.attributes.checked_users import apply_checks
from recenter_utils.attributes.extraction import chunk_items
from recenter_utils.attributes.users import Pool
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered
from recenter_utils.inference.tasks import ASSISTANT_USE, LANGUAGE_CHECK

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: Characters of a conversation in one language check: a long chat is checked in pieces and must pass in each.
LANGUAGE_CHARACTERS = 20_000

#: A user's turns are sampled evenly over their history; what a turn is like shows in its beginning.
TURNS_A_USER, CHARACTERS_A_TURN = 40, 500


def check_language(
    conversations: pl.DataFrame, model: Model, *, cache: Path | None = None, max_cost: float | None = None
) -> tuple[pl.DataFrame, int]:
    """Return conversation_id and is_english, null where the model gave no usable answer; and how many to ask again."""
    items = chunk_items(conversations, LANGUAGE_CHARACTERS)
    answers = run(LANGUAGE_CHECK, items, model, cache=cache, max_cost=max_cost)
    verdicts = [value if isinstance(value, bool) else None for value in answers["is_english"]]
    asked = items.select("conversation_id").with_columns(pl.Series("is_english", verdicts, dtype=pl.Boolean))
    # One foreign piece decides; without one, a piece that got no answer leaves the conversation undecided.
    verdict = asked.group_by("conversation_id", maintain_order=True).agg(pl.col("is_english").all(ignore_nulls=False))
    return verdict, unanswered(answers)


def user_turn_samples(conversations: pl.DataFrame) -> pl.DataFrame:
    """Return one row a user: user_id, and user_turns as the prompt shows them, spread over the history."""
    turns = (
        conversations.select("user_id", "conversation_id", "turns")
        .with_columns(conversation=pl.int_range(1, pl.len() + 1).over("user_id"))
        .explode("turns")
        .unnest("turns")
        .filter(pl.col("role") == "user")
        .with_columns(content=pl.col("content").str.slice(0, CHARACTERS_A_TURN))
    )
    rows = []
    for (user_id,), part in turns.group_by("user_id", maintain_order=True):
        places = np.unique(np.linspace(0, len(part) - 1, min(len(part), TURNS_A_USER)).round().astype(int))
        rows.append(
            {"user_id": user_id, "user_turns": part[places.tolist()].select("conversation", "content").to_dicts()}
        )
    turn = pl.Struct({"conversation": pl.Int64, "content": pl.String})
    return pl.DataFrame(rows, schema={"user_id": pl.String, "user_turns": pl.List(turn)})


def score_assistant_use(
    conversations: pl.DataFrame, model: Model, *, cache: Path | None = None, max_cost: float | None = None
) -> tuple[pl.DataFrame, int]:
    """Return user_id and score in [0, 1], null where the model gave no usable answer; and how many to ask again."""
    items = user_turn_samples(conversations)
    answers = run(ASSISTANT_USE, items, model, cache=cache, max_cost=max_cost)
    scores = pl.Series("score", answers["score"].astype("float64").to_numpy(), dtype=pl.Float64, nan_to_null=True)
    return items.select("user_id").with_columns(scores), unanswered(answers)


def ask(pool: Pool, study: Study) -> tuple[Pool, int]:
    """Ask the study's models about the users who are left; return the pool without those who fail.

    With it comes how many requests got no answer: whom they are about is kept, and the notebook counts as unfinished.
    Only sources whose users are filtered are asked about. The language check comes first, so that nobody is
    scored on conversations that do not count.
    """
    settings = study.settings
    filtered = [source.name for source in settings.sources if source.filters_apply]
    asking: dict[str, Any] = {"cache": study.cache, "max_cost": settings.max_cost}
    missing = 0
    if settings.users.check_language:
        left = pool.conversations.filter(pl.col("source").is_in(filtered)).collect()
        english, missing = check_language(left, study.model("language"), **asking)
        pool = apply_checks(pool, english, None, settings.users)
    left = pool.conversations.filter(pl.col("source").is_in(filtered)).collect()
    scores, unscored = score_assistant_use(left, study.model("assistant_use"), **asking)
    return apply_checks(pool, None, scores, settings.users), missing + unscored
