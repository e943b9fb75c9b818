"""Verify-and-refine (§4.3): what a verifier flags goes back to the extractor, which revises or withdraws it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.attributes.snippets import SCHEMA
from recenter_utils.attributes.verification import texts
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered
from recenter_utils.inference.tasks import ATTRIBUTE_REFINEMENT
from recenter_utils.tables import table
from recenter_utils.training.classifier import Classifier

#: Between an attribute and its round; round 0 is the extractor's first wording.
ROUND = "@"


def item_id(attribute_id: str, number: int) -> str:
    """Return how annotators' items call an attribute's wording after a round."""
    return f"{attribute_id}{ROUND}{number}"


def scored(items: pl.DataFrame, verifier: Classifier | None) -> pl.DataFrame:
    """Return the items with the verifier's score (0 to 1, how sure it is of a problem) and whether it flags them.

    Without a verifier nothing can be flagged, and no item is left.
    """
    if verifier is None:
        return items.clear().with_columns(score=pl.lit(0.0), flagged=pl.lit(False))
    scores = verifier.scores(texts(items), items["attribute"].to_list())
    return items.with_columns(score=pl.Series(scores, dtype=pl.Float64)).with_columns(
        flagged=pl.col("score") >= verifier.threshold
    )


def refine(
    items: pl.DataFrame,
    verifier: Classifier | None,
    model: Model,
    rounds: int,
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
) -> tuple[pl.DataFrame, int]:
    """Send flagged items back to `model`, at most `rounds` times.

    Returns the table `refinements`, and how many requests are worth asking again.

    items: see `scored`; what is not flagged is left alone. An attribute that was withdrawn, that passed, that the
    extractor keeps word for word, or on which it gave no usable answer is not sent again.
    """
    current = items.filter("flagged").to_dicts()
    rows: list[dict[str, Any]] = []
    missing = 0
    for number in range(1, rounds + 1):
        if not current:
            break
        asked = [item | {"objection": _objection(item["score"], number)} for item in current]
        answers = run(ATTRIBUTE_REFINEMENT, asked, model, cache=cache, max_cost=max_cost, progress=progress)
        missing += unanswered(answers)
        if max_cost is not None:
            max_cost = max(0.0, max_cost - float(answers["cost"].sum()))
        found = [_answered(item, answer) for item, answer in zip(current, answers.to_dict("records"), strict=True)]
        after = pl.DataFrame([item for item, _ in found], schema_overrides=SCHEMA, infer_schema_length=None)
        again = scored(after, verifier).to_dicts()
        current = []
        for before, (_, done), item in zip(asked, found, again, strict=True):
            gone = done["action"] == "withdrawn"
            rows.append(
                done
                | {
                    "item_id": item_id(before["attribute_id"], number),
                    "attribute_id": before["attribute_id"],
                    "user_id": before["user_id"],
                    "round": number,
                    "before": before["attribute"],
                    "attribute": None if gone else item["attribute"],
                    "evidence": [] if gone else [item["places"][turn] for turn in item["evidence_turns"]],
                    "score_before": before["score"],
                    "score_after": None if gone else item["score"],
                    "flagged": None if gone else item["flagged"],
                }
            )
            if done["action"] == "revised" and item["flagged"]:
                current.append(item)
    return pl.DataFrame(rows, schema=table("refinements").columns), missing


def _objection(score: float, number: int) -> str:
    again = "Your revision was checked again. " if number > 1 else ""
    return (
        f"{again}A verifier that learned from judgments gives it a probability of {score:.0%} that people would not "
        "accept it. What they do not accept generalises from one request, lacks evidence in the user's own turns, "
        "takes the subject of a task or a role for the user, or cannot be understood without the chat."
    )


def _answered(item: Mapping[str, Any], answer: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the item as it stands after an answer, and what was done: action, reason, error."""
    kept = {name: item[name] for name in SCHEMA}
    if isinstance(answer["error"], str):
        return kept, {"action": "error", "reason": None, "error": answer["error"]}
    if answer["action"] == "withdraw":
        return kept, {"action": "withdrawn", "reason": answer["reason"], "error": None}
    wording = answer["attribute"].strip()
    own = {turn["turn"] for turn in item["snippet"] if turn["role"] == "user"}
    evidence = sorted(own.intersection(answer["evidence_turns"])) or list(item["evidence_turns"])
    same = wording.casefold() == item["attribute"].strip().casefold()
    after = kept | {"attribute": wording, "reason": answer["reason"], "evidence_turns": evidence}
    return after, {"action": "kept" if same else "revised", "reason": answer["reason"], "error": None}


def final(refinements: pl.DataFrame) -> pl.DataFrame:
    """Return where each flagged attribute ended: a row an attribute.

    Columns: attribute_id, user_id, before (the first wording), attribute (the last; null if it was withdrawn), item_id
    (of the last wording; round 0 where no word changed), action (revised, withdrawn, kept or error), reason, evidence,
    rounds, score_before, score_after, flagged (still).
    """
    ordered = refinements.sort("attribute_id", "round")
    last = ordered.group_by("attribute_id", maintain_order=True).agg(
        pl.col("user_id", "before", "score_before").first(),
        pl.col("attribute", "reason", "evidence", "score_after", "flagged", "action").last(),
        rounds=pl.col("round").last(),
        changed=(pl.col("action") == "revised").any(),
        reworded=pl.col("round").filter(pl.col("action") == "revised").max(),
    )
    ended = pl.when(pl.col("action").is_in(["kept", "error"]) & pl.col("changed"))
    return last.with_columns(
        action=ended.then(pl.lit("revised")).otherwise("action"),
        item_id=pl.format("{}" + ROUND + "{}", "attribute_id", pl.col("reworded").fill_null(0)),
    ).drop("changed", "reworded")


def summary(ended: pl.DataFrame, n_items: int) -> pl.DataFrame:
    """Return how many of the verified attributes met which end; ended: see `final`; n_items: all that were verified."""
    revised, still = ended.filter(action="revised"), pl.col("flagged").fill_null(False)
    return pl.DataFrame(
        {
            "attributes": [
                "verified",
                "flagged",
                "withdrawn",
                "revised, and passed",
                "revised, and still flagged",
                "kept word for word",
                "no usable answer",
            ],
            "n": [
                n_items,
                len(ended),
                len(ended.filter(action="withdrawn")),
                len(revised.filter(~still)),
                len(revised.filter(still)),
                len(ended.filter(action="kept")),
                len(ended.filter(action="error")),
            ],
        }
    )


def wordings(ended: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Return the last wording of every revised attribute as something to be judged, in the columns of `snippets`.

    attribute_id is the wording's item_id; items: what the attributes stood beside.
    """
    revised = ended.filter(action="revised").select("attribute_id", "item_id", new="attribute", why="reason")
    joined = items.join(revised, on="attribute_id", maintain_order="left")
    return joined.with_columns(attribute="new", reason="why", attribute_id="item_id").select(list(SCHEMA))


def side_by_side(ended: pl.DataFrame, revised_only: bool = False) -> pl.DataFrame:
    """Return user, before, after (withdrawn: a dash), the reason and both scores, revised ones first."""
    order = {"revised": 0, "withdrawn": 1, "kept": 2, "error": 3}
    chosen = ended.filter(action="revised") if revised_only else ended
    return chosen.sort(pl.col("action").replace_strict(order, return_dtype=pl.Int64), "user_id", "before").select(
        "user_id", "before", "action", after="attribute", reason="reason", score_before="score_before",
        score_after="score_after",
    )  # fmt: skip
