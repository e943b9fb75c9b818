"""Which users are left after what a model said of their conversations and of their use of an assistant (Appendix A)."""

from __future__ import annotations

import polars as pl

from recenter_utils.attributes import funnel
from recenter_utils.attributes.activity import activity, inactive
from recenter_utils.attributes.users import USER_TURNS, Pool
from recenter_utils.settings import UserRules


def apply_checks(pool: Pool, english: pl.DataFrame | None, scores: pl.DataFrame | None, rules: UserRules) -> Pool:
    """Return the pool after what a model answered; None where it was not asked, and the filter leaves no trace.

    english: conversation_id, is_english; what is not in English is dropped, and a user who then has too few
    conversations or turns goes with it. scores: user_id, score in [0, 1]; users under the threshold go.
    A missing or null answer keeps the conversation or user, because a failed request says nothing about a person:
    the funnel's rule counts them, and such a user's `reason` says it. Only sources with filters are touched.
    """
    checked = pool.funnel.filter(step="activity")["source"].implode()
    if english is not None:
        pool = _language_checked(pool, english.select("conversation_id", "is_english"), checked, rules)
    if scores is not None:
        pool = _assistant_use(pool, scores.select("user_id", "score"), checked, rules)
    return pool


def _language_checked(pool: Pool, english: pl.DataFrame, checked: pl.Series, rules: UserRules) -> Pool:
    conversations = pool.conversations.join(
        english.lazy(), on="conversation_id", how="left", maintain_order="left"
    ).with_columns(is_english=pl.col("is_english") | ~pl.col("source").is_in(checked))
    left = (
        conversations.group_by("user_id")
        .agg(
            (stays := pl.col("is_english").fill_null(value=True)).sum().cast(pl.Int64).alias("n_conversations"),
            USER_TURNS.list.len().filter(stays).sum().cast(pl.Int64).alias("n_user_turns"),
            pl.col("is_english").is_null().sum().alias("unanswered"),
            pl.first("source"),
        )
        .collect(engine="streaming")
    )
    figures = left.select("user_id", "n_conversations", "n_user_turns")
    users = pool.users.update(figures, on="user_id", how="left")
    out = pl.col("kept") & pl.col("source").is_in(checked) & inactive(rules)
    users = _dropped(users, out, "language_checked", activity(rules, " after the language check"))
    rule = f"each conversation wholly in {rules.language} by a model, then activity again"
    unanswered = dict(left.group_by("source").agg(pl.sum("unanswered")).iter_rows())
    return Pool(
        _of_kept(conversations.filter(stays).drop("is_english"), users),
        users,
        funnel.extended(pool.funnel, users, "language_checked", rule, unanswered, "conversation"),
        pool.problems,
    )


def _assistant_use(pool: Pool, scores: pl.DataFrame, checked: pl.Series, rules: UserRules) -> Pool:
    asked = pl.col("kept") & pl.col("source").is_in(checked)
    users = pool.users.drop("assistant_score").join(scores, on="user_id", how="left", maintain_order="left")
    users = users.with_columns(assistant_score=pl.when(asked).then(pl.col("score").cast(pl.Float64))).select(
        pool.users.columns
    )
    unscored = asked & pl.col("assistant_score").is_null()
    unanswered = dict(users.filter(unscored).group_by("source").len().iter_rows())
    users = users.with_columns(
        reason=pl.when(unscored)
        .then(pl.lit("kept without an assistant-use score: the model gave none"))
        .otherwise("reason")
    )
    why = pl.format(
        f"assistant-use score {{}}; needs {rules.min_assistant_score:g}", pl.col("assistant_score").round(2)
    )
    users = _dropped(users, asked & (pl.col("assistant_score") < rules.min_assistant_score), "assistant_use", why)
    rule = f"assistant-use score of {rules.min_assistant_score:g} or more"
    return Pool(
        _of_kept(pool.conversations, users),
        users,
        funnel.extended(pool.funnel, users, "assistant_use", rule, unanswered, "user"),
        pool.problems,
    )


def _dropped(users: pl.DataFrame, out: pl.Expr, by: str, why: pl.Expr) -> pl.DataFrame:
    return users.with_columns(
        kept=pl.col("kept") & ~out.fill_null(value=False),
        dropped_by=pl.when(out).then(pl.lit(by)).otherwise("dropped_by"),
        reason=pl.when(out).then(why).otherwise("reason"),
    )


def _of_kept(conversations: pl.LazyFrame, users: pl.DataFrame) -> pl.LazyFrame:
    kept = users.lazy().filter("kept").select("user_id")
    return conversations.join(kept, on="user_id", how="semi", maintain_order="left")
