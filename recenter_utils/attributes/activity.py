"""How much each user said, counted over a corpus's batches, and whether it is enough to take part (Appendix A)."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from recenter_utils.corpora.identifiers import Met
from recenter_utils.settings import UserRules

_COUNTS = ("n_conversations_loaded", "n_by_metadata", "n_conversations", "n_user_turns")


def counted(judged: pl.DataFrame) -> pl.DataFrame:
    """Return what a batch's users said: `user_id`, `source` and four counts.

    judged: conversations with `by_metadata` and `stays`, by which language filter they stay, and `said`, the user's
    turns.
    """
    return judged.group_by("user_id", maintain_order=True).agg(
        pl.first("source"),
        pl.len().alias("n_conversations_loaded"),
        pl.sum("by_metadata").alias("n_by_metadata"),
        pl.sum("stays").alias("n_conversations"),
        pl.col("said").list.len().filter("stays").sum().alias("n_user_turns"),
    )


class Activity:
    """The counts of users, summed over batches.

    folder: an empty one, for who they are: memory holds hashes and counts, some 60 bytes a user. held: so many counts,
    one a user and batch, wait to be summed to one a user; or as many as there are users.
    """

    def __init__(self, folder: Path, held: int = 200_000) -> None:
        self._folder, self._room = folder, held
        self._met, self._batches = Met(), 0
        self._summed = pl.DataFrame(schema={"user": pl.UInt64} | dict.fromkeys(_COUNTS, pl.UInt32))
        self._waiting: list[pl.DataFrame] = []

    def add(self, counts: pl.DataFrame) -> None:
        """Add what `counted` made of a batch."""
        counts = counts.with_columns(pl.col("user_id").hash().alias("user"))
        self._waiting.append(counts.select("user", pl.col(_COUNTS).cast(pl.UInt32)))
        if sum(map(len, self._waiting)) > max(self._room, len(self._summed)):
            self._sum_up()
        new = counts.filter(~self._met.before(counts["user_id"])).select("user", "user_id", "source")
        self._batches += 1
        new.write_parquet(self._folder / f"{self._batches:06}.parquet")

    def users(self) -> pl.DataFrame:
        """Return all users by first appearance: `user_id`, `source` and the counts."""
        self._sum_up()
        known = pl.DataFrame(schema={"user": pl.UInt64, "user_id": pl.String, "source": pl.String})
        known = pl.concat([known, *(pl.read_parquet(file) for file in sorted(self._folder.iterdir()))])
        counts = self._summed.with_columns(pl.col(_COUNTS).cast(pl.Int64))
        return known.join(counts, on="user", how="left", maintain_order="left").drop("user")

    def _sum_up(self) -> None:
        self._summed = pl.concat([self._summed, *self._waiting]).group_by("user").agg(pl.sum(*_COUNTS))
        self._waiting = []


def inactive(rules: UserRules) -> pl.Expr:
    """Return whether a user has too few conversations or turns to take part."""
    return (pl.col("n_conversations") < rules.min_conversations) | (pl.col("n_user_turns") < rules.min_user_turns)


def activity(rules: UserRules, when: str = "") -> pl.Expr:
    """Return the reason of a user who has too few. when: at which point, with a space before it."""
    return pl.format(
        f"{{}}, {{}}{when}; needs {rules.min_conversations} and {rules.min_user_turns}",
        number("n_conversations", "conversation"),
        number("n_user_turns", "user turn"),
    )


def number(column: str, noun: str) -> pl.Expr:
    """Return "1 conversation", "2 conversations", of a column of counts."""
    return pl.format(f"{{}} {noun}{{}}", column, pl.when(pl.col(column) == 1).then(pl.lit("")).otherwise(pl.lit("s")))
