"""Verifying attributes (§4.3, Table 2): models with two prompts and a trained encoder find what people did not accept.

The positive class is *problematic*: at least half of an attribute's annotators did not accept it, whether they said
*Maybe* or *Doesn't make sense* (Table 2's counts fit no other reading).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recenter_utils import report
from recenter_utils.attributes.snippets import plain_text, snippets
from recenter_utils.inference import judges
from recenter_utils.inference.judges import Judge, in_columns, judgment
from recenter_utils.inference.judges import worth_asking as worth_asking
from recenter_utils.inference.models import Model
from recenter_utils.inference.tasks import ATTRIBUTE_VERIFICATION, ATTRIBUTE_VERIFICATION_CRITERIA, Task
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.settings import Verifier
from recenter_utils.stats import classification
from recenter_utils.tables import table
from recenter_utils.training import examples as pairs
from recenter_utils.training.classifier import Classifier
from recenter_utils.training.parts import divide

#: The two prompts and what their rows are called after.
PROMPTS: dict[str, Task] = {"instruction": ATTRIBUTE_VERIFICATION, "criteria": ATTRIBUTE_VERIFICATION_CRITERIA}

#: Rows that no verifier may do worse than without being told so.
BASELINES = {"flag everything": True, "flag nothing": False}


def judged(
    consensus: pl.DataFrame, merged: pl.DataFrame, attributes: pl.DataFrame, conversations: pl.DataFrame
) -> pl.DataFrame:
    """Return what verifiers read of every judged attribute: see `snippets.snippets`; one row an attribute, in order."""
    order = consensus.select(attribute_id="item_id")
    return snippets(order.join(merged, on="attribute_id", maintain_order="left"), attributes, conversations)


def split(consensus: pl.DataFrame, rules: Verifier, seed: int) -> pl.DataFrame:
    """Return the table `verifier_split`: users drawn into train, validation and test, by kind and source.

    Each kind of source has users in every part if it has three; labels are not looked at. The same seed and users give
    the same parts, whatever the order of the rows.
    """
    users = consensus.select(cluster="user_id", stratum="source", group="kind").unique().sort("cluster")
    parts = divide(users, rules.validation, rules.test, seed)
    found = consensus.select("item_id", "user_id", "problematic").with_columns(
        split=pl.col("user_id").replace_strict(parts, return_dtype=pl.String)
    )
    return found.select(table("verifier_split").columns.names())


def examples(items: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return what the encoder is trained and measured on; items: see `judged`; parts: the table `verifier_split`."""
    rows = items.select("attribute_id", "attribute").with_columns(pl.Series("text", texts(items), dtype=pl.String))
    joined = parts.join(rows, left_on="item_id", right_on="attribute_id", maintain_order="left")
    return joined.rename({"user_id": "cluster", "problematic": "positive"}).select(list(pairs.SCHEMA))


def texts(items: pl.DataFrame) -> list[str]:
    """Return what the encoder reads beside each attribute; items: snippet and evidence_turns."""
    return [plain_text(*row) for row in items.select("snippet", "evidence_turns").iter_rows()]


def rater(model: Model, prompt: str) -> str:
    """Return how tables call a model with one of the two prompts."""
    return f"{model.name} ({prompt})"


def ask(
    items: pl.DataFrame,
    models: Sequence[Model],
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    prompts: Sequence[str] = tuple(PROMPTS),
    progress: bool = True,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Ask every model about every item with each of the prompts.

    items: attribute_id, attribute, reason and snippet. max_cost: US dollars for each model.

    Returns judgments in the columns of `verifier_judgments`, a row a usable answer, and failures: rater, error, n.
    """
    asked = [Judge(rater(model, prompt), model, PROMPTS[prompt]) for model in models for prompt in prompts]
    named = items.rename({"attribute_id": "item_id"})
    slots = ("snippet", "attribute", "reason")
    return judges.ask(named, slots, asked, ATTRIBUTE_QUALITY, cache=cache, max_cost=max_cost, progress=progress)


def judge(items: pl.DataFrame, verifier: Classifier | None) -> pl.DataFrame:
    """Return the trained verifier's judgments of items; their score says how sure it is of a problem, 0 to 1.

    No rows without a verifier.
    """
    if verifier is None or items.is_empty():
        return table("verifier_judgments").empty()
    scores = verifier.scores(texts(items), items["attribute"].to_list())
    labels = ["rejected" if score >= verifier.threshold else "accepted" for score in scores]
    rows = [
        judgment(ATTRIBUTE_QUALITY, item, verifier.name, "trained", label, score=score)
        for item, label, score in zip(items["attribute_id"], labels, scores, strict=True)
    ]
    return in_columns(rows)


def measure(judgments: pl.DataFrame, parts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return the table `verifier_scores` on the test part of `verifier_split`, the baselines first (Table 2)."""
    test = parts.filter(split="test").select("item_id", "user_id", "problematic")
    if test.is_empty():
        return table("verifier_scores").empty()
    rows: list[dict[str, Any]] = []
    for name, flag in BASELINES.items():
        rows += _measured(name, None, test.with_columns(flagged=pl.lit(flag), score=None), seed)
    answered = judgments.with_columns(flagged=pl.col("label") != "accepted").join(test, on="item_id")
    for (name, kind), part in answered.group_by("rater", "rater_kind", maintain_order=True):
        rows += _measured(str(name), str(kind), part, seed)
    return table("verifier_scores").frame(rows)


def _measured(name: str, kind: str | None, part: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    part = part.sort("item_id")
    truth, flagged, users = (part[column].to_numpy() for column in ("problematic", "flagged", "user_id"))
    found: list[dict[Any, Any]] = classification.scores(truth, flagged, users, seed=seed).to_dict("records")
    if kind == "trained":
        precision = classification.average_precision(truth, part["score"].to_numpy(), users, seed=seed)
        found.append({"metric": "average_precision", "n": len(part), **precision._asdict()})
    return [{"verifier": name, "rater_kind": kind} | row | {"reason": row["reason"] or None} for row in found]


def wide(scores: pl.DataFrame) -> pl.DataFrame:
    """Return `verifier_scores` as readers want it: a row a verifier, each number with its interval behind it."""
    if scores.is_empty():
        return pl.DataFrame(schema={"verifier": pl.String, "n": pl.Int64})
    said = scores.with_columns(text=pl.struct("value", "low", "high").map_elements(report.in_cell, pl.String))
    return said.pivot("metric", index=["verifier", "n"], values="text", maintain_order=True)


def curve(judgments: pl.DataFrame, parts: pl.DataFrame) -> pl.DataFrame:
    """Return precision and recall of the trained verifier at every threshold: columns precision, recall, threshold."""
    test = parts.filter(split="test").select("item_id", "problematic")
    graded = judgments.filter(rater_kind="trained").join(test, on="item_id").sort("item_id")
    if graded.is_empty() or not graded["problematic"].any():
        return pl.DataFrame(schema={"precision": pl.Float64, "recall": pl.Float64, "threshold": pl.Float64})
    truth, scores = graded["problematic"].to_numpy(), graded["score"].to_numpy()
    return pl.from_pandas(classification.pr_curve(truth, scores))


def hardest(judgments: pl.DataFrame, parts: pl.DataFrame, items: pl.DataFrame, most: int = 12) -> pl.DataFrame:
    """Return held-out attributes on which the fewest verifiers were right: user, attribute, problematic, right, of.

    items: see `judged`.
    """
    test = parts.filter(split="test").select("item_id", "user_id", "problematic")
    answered = judgments.join(test, on="item_id").with_columns(
        right=(pl.col("label") != "accepted") == pl.col("problematic")
    )
    counted = answered.group_by("item_id", "user_id", "problematic").agg(pl.col("right").sum(), of=pl.len())
    worded = counted.join(items.select("attribute", "reason", item_id="attribute_id"), on="item_id")
    ranked = worded.sort(pl.col("right") / pl.col("of"), "item_id").head(most)
    return ranked.select("user_id", "attribute", "problematic", pl.col("right", "of").cast(pl.Int64), "reason")


def base_rate(parts: pl.DataFrame) -> float:
    """Return the share of problematic attributes in the test part; NaN where it is empty."""
    test = parts.filter(split="test")["problematic"]
    return float(test.mean()) if len(test) else float("nan")  # type: ignore[arg-type]


def sentence(judgments: pl.DataFrame, parts: pl.DataFrame, scores: pl.DataFrame, seed: int, lacking: str = "") -> str:
    """Return Table 2 as a claim: the trained verifier against the best prompted one, on the items that both answered.

    lacking: why there is no trained verifier, where there is none.
    """
    test = parts.filter(split="test").sort("item_id")
    if test.is_empty():
        return "Nothing can be said of verifiers: no attribute has been judged."
    f1 = scores.filter(pl.col("metric") == "f1", pl.col("rater_kind").is_not_null()).drop_nulls("value")
    where = (
        f"On {len(test):,} held-out attributes of {test['user_id'].n_unique():,} users, "
        f"{base_rate(parts):.0%} of them problematic,"
    )
    prompted = f1.filter(rater_kind="llm").sort("value", "verifier", descending=[True, False]).head(1)
    trained = f1.filter(rater_kind="trained")
    named = [
        f"{row['verifier']} reaches an F1 of {report.with_interval(report.interval_of(row), '{:.2f}')}"
        for part in (trained, prompted)
        for row in part.to_dicts()
    ]
    if not named:
        return f"{where} no verifier has an F1: {lacking or 'no model gave a usable answer'}."
    if trained.is_empty() or prompted.is_empty():
        return f"{where} {named[0]}" + (f"; no verifier was trained, because {lacking}." if lacking else ".")
    first, second = (_aligned(judgments, test, part["verifier"][0]) for part in (prompted, trained))
    gap = classification.difference(
        test["problematic"].to_numpy(), first, second, "f1", test["user_id"].to_numpy(), seed=seed
    )
    return (
        f"{where} {named[0]}; of the prompted rows, {named[1]}, the best of them here. "
        f"Difference in F1: {report.with_interval(gap, '{:+.2f}')}."
    )


def _aligned(judgments: pl.DataFrame, test: pl.DataFrame, name: str) -> np.ndarray:
    said = judgments.filter(rater=name).select("item_id", flagged=pl.col("label") != "accepted")
    joined = test.select("item_id").join(said, on="item_id", how="left", maintain_order="left")
    return joined["flagged"].cast(pl.Float64).to_numpy()
