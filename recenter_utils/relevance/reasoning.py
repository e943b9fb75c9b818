"""A reasoning model before and after GRPO: what it says of held-out pairs, and where it changed its mind (Table 7)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recenter_utils.inference.judges import in_columns, judgment
from recenter_utils.report import in_cell, interval_of, with_interval
from recenter_utils.scales import RELEVANCE
from recenter_utils.settings import Grpo
from recenter_utils.stats import classification
from recenter_utils.stats.resampling import Interval
from recenter_utils.tables import table
from recenter_utils.training import examples as pairs
from recenter_utils.training.grpo import card, curves
from recenter_utils.training.grpo.rewards import label_of, reasoning_of
from recenter_utils.training.grpo.runs import Trained

#: Characters of a reasoning on a page; of a longer one the beginning and, more of it, the end.
SHOWN = 1200

STATES = ("right", "wrong", "no answer")

#: Why nothing was trained in a study that does not ask for it, and what it takes.
NOT_ASKED = "grpo.train is false in study.yaml"
_ADVICE = (
    " With `grpo.train: true` this page trains one: Qwen3-4B with LoRA on one GPU of 80 GB, which with the paper's "
    "settings takes long, or with `base: smoke` a tiny one on a CPU, to see that it works. For all "
    "weights, on a cluster, there is `recenter export-grpo`. The book's page on training says how."
)
_METRICS = ("precision", "recall", "f1", "accuracy", "flag_rate")


def lacking(examples: pl.DataFrame, rules: Grpo) -> str:
    """Return why no reasoning model is trained, in words; an empty string where one is."""
    return pairs.lacking(examples) if rules.train else NOT_ASKED


def described(trained: Trained | None, reason: str, left: Mapping[Path, int] | None = None) -> str:
    """Return what was trained, or why nothing was and what it takes, and which unfinished runs stand there.

    reason: See `lacking`. left: See `runs.unfinished`.
    """
    if trained is None:
        return f"No reasoning model was trained: {reason}.{_ADVICE if reason == NOT_ASKED else ''}{_left(left or {})}"
    if trained.smoke:
        return (
            "THIS IS A SMOKE RUN, and no model. Random weights were shown made-up answers, with YES or NO drawn at "
            "random, and then trained for some steps. What follows shows that the training works: rewards are earned "
            "and learned from. It shows nothing about any language model, nor how well GRPO does at this."
            f"{_left(left or {})}"
        )
    stops = trained.record["went_on_at"]
    went_on = f" It was interrupted, and went on from step {', '.join(map(str, stops))}." if stops else ""
    return f"{trained.base} was trained with GRPO on {trained.record['device']}.{went_on}{_left(left or {})}"


def _left(left: Mapping[Path, int]) -> str:
    if not left:
        return ""
    named = ", ".join(f"`{path.parent.name}/{path.name}` ({size / 2**20:,.0f} MiB)" for path, size in left.items())
    return (
        f" A run that was stopped, or is still being trained, stands in {named}. It goes on when it is asked for with "
        "its own settings and pairs, and is in nobody's way but for its size: delete it where it is not wanted."
    )


def how(trained: Trained | None) -> pl.DataFrame:
    """Return how it was trained, a row a fact: columns what and how."""
    rows = list(card.rows(trained.record).items()) if trained else []
    return pl.DataFrame(rows, schema={"what": pl.String, "how": pl.String}, orient="row")


def curve(trained: Trained | None) -> pl.DataFrame:
    """Return the table `grpo_curve`; no rows where nothing was trained."""
    return curves.curve(trained.history) if trained else table("grpo_curve").empty()


def judgments(trained: Trained | None) -> pl.DataFrame:
    """Return the table `grpo_judgments`: a row an answer that ends with the final line, before and after."""
    rows = [
        judgment(
            RELEVANCE,
            answer["item_id"],
            name,
            kind,
            label,
            RELEVANCE.score(label),
            reasoning_of(answer["text"]),
        )
        for name, kind, said in _answers(trained)
        for answer in said
        if (label := label_of(answer["text"], answer["truncated"]))
    ]
    return in_columns(rows)


def answered(trained: Trained | None) -> pl.DataFrame:
    """Return how the answers came: a row before and one after.

    Columns rater, pairs, answered, yes, cut_off (reached the longest length), unparsed (ends without the final line),
    and mean_tokens.
    """
    rows = []
    for name, _, said in _answers(trained):
        labels = [label_of(answer["text"], answer["truncated"]) for answer in said]
        cut = sum(answer["truncated"] for answer in said)
        rows.append(
            {
                "rater": name,
                "pairs": len(said),
                "answered": len(labels) - labels.count(None),
                "yes": labels.count("yes"),
                "cut_off": cut,
                "unparsed": labels.count(None) - cut,
                "mean_tokens": float(np.mean([answer["tokens"] for answer in said])) if said else None,
            }
        )
    counts = dict.fromkeys(("pairs", "answered", "yes", "cut_off", "unparsed"), pl.Int64)
    return pl.DataFrame(rows, schema={"rater": pl.String} | counts | {"mean_tokens": pl.Float64})


def changes(trained: Trained | None, parts: pl.DataFrame) -> pl.DataFrame:
    """Return how many answers of each kind became what: a row a state before, a column a state after.

    Columns before, and for each of `STATES` the pairs that are in it after. parts: the table `selector_split`.
    """
    both = _compared(trained, parts)
    rows = [
        {"before": before} | {after: len(both.filter(state_before=before, state_after=after)) for after in STATES}
        for before in (STATES if trained else ())
    ]
    return pl.DataFrame(rows, schema={"before": pl.String} | dict.fromkeys(STATES, pl.Int64))


def quality(trained: Trained | None, parts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Return how well the answers fit the reference, a row before, one after, and one for always answering no.

    An answer that did not come counts as not selected. Each number has its interval over requests behind it; undefined
    is a dash.
    """
    both = _compared(trained, parts)
    schema = {"rater": pl.String, "pairs": pl.Int64} | dict.fromkeys(_METRICS, pl.String)
    if both.is_empty() or trained is None:
        return pl.DataFrame(schema=schema)
    never = pl.Series([False] * len(both))
    chosen = {trained.base: both["yes_before"], trained.name: both["yes_after"], "always no": never}
    rows = [
        {"rater": name, "pairs": len(both)} | {metric: in_cell(found[metric]) for metric in _METRICS}
        for name, answers in chosen.items()
        for found in (_rows(both, answers, seed),)
    ]
    return pl.DataFrame(rows, schema=schema)


def minds(trained: Trained | None, parts: pl.DataFrame, items: pl.DataFrame, most: int = 3) -> pl.DataFrame:
    """Return pairs on which the label changed, with both reasonings: at most so many to right, then to wrong (Table 7).

    Columns change, request, attribute, reference, before, reasoning_before, after and reasoning_after. Of each request
    at most one pair of a kind is shown, and nothing else chooses.

    items: pair_id, prompt and attribute.
    """
    schema = ["change", "request", "attribute", "reference", "before", "reasoning_before", "after", "reasoning_after"]
    both = _compared(trained, parts).join(items.select("pair_id", "attribute", request="prompt"), on="pair_id")
    kinds = {"to right": ("wrong", "right"), "to wrong": ("right", "wrong")}
    shown = [
        both.filter(state_before=before, state_after=after)
        .sort("pair_id")
        .unique("prompt_id", keep="first", maintain_order=True)
        .head(most)
        .with_columns(change=pl.lit(change))
        for change, (before, after) in kinds.items()
    ]
    found = pl.concat(shown).rename({"text_before": "reasoning_before", "text_after": "reasoning_after"})
    reasons = pl.col("reasoning_before", "reasoning_after").map_elements(_shortened, pl.String)
    return found.with_columns(reasons).select(schema)


def sentence(trained: Trained | None, parts: pl.DataFrame, seed: int, reason: str) -> str:
    """Return what GRPO changed as a claim; reason: why nothing was trained."""
    both = _compared(trained, parts)
    if trained is None:
        return f"Nothing can be said of GRPO: {reason}."
    first, final = curves.ends(curve(trained), "reward")
    start = "In a smoke run, which is no model, the" if trained.smoke else "The"
    went = (
        f"{start} mean reward went from {first:.2f} over the first quarter of the steps to {final:.2f} over the last."
    )
    if both.is_empty():
        return f"{went} There is no held-out pair to answer."
    before, after = (_scores(both, both[name], seed) for name in ("yes_before", "yes_after"))
    gap = classification.difference(
        both["relevant"].to_numpy(),
        both["yes_before"].to_numpy(),
        both["yes_after"].to_numpy(),
        "f1",
        both["prompt_id"].to_numpy(),
        seed=seed,
    )
    right = len(both.filter(state_after="right").filter(pl.col("state_before") != "right"))
    wrong = len(both.filter(state_before="right").filter(pl.col("state_after") != "right"))
    return (
        f"{went} On {len(both):,} held-out pairs of {both['prompt_id'].n_unique():,} requests, {_share(both):.0%} of "
        f"them relevant, {right:,} answers became right and {wrong:,} stopped being right. F1 went from "
        f"{with_interval(before['f1'], '{:.2f}')} to {with_interval(after['f1'], '{:.2f}')}: difference "
        f"{with_interval(gap, '{:+.2f}')}.{_always_no(after, both)}"
    )


def _share(both: pl.DataFrame) -> float:
    return float(both["relevant"].to_numpy().mean())


def _always_no(after: dict[str, Interval], both: pl.DataFrame) -> str:
    """Say it where the trained model has found out that no is nearly always right."""
    if after["flag_rate"].value > 0:
        return ""
    return f" It now selects nothing: always answering no is right for {1 - _share(both):.0%} of them."


def _answers(trained: Trained | None) -> list[tuple[str, str, list[dict[str, Any]]]]:
    if trained is None:
        return []
    return [
        (trained.base, "llm", trained.answers["before"]),
        (trained.name, "trained", trained.answers["after"]),
    ]


def _compared(trained: Trained | None, parts: pl.DataFrame) -> pl.DataFrame:
    """Return each answered pair of the test part with its label, state and reasoning before and after, in order."""
    found = parts.filter(split="test").select(
        "pair_id", "prompt_id", "relevant", reference=pl.when("relevant").then(pl.lit("yes")).otherwise(pl.lit("no"))
    )
    said = dict(zip(("before", "after"), _answers(trained), strict=False))
    for when in ("before", "after"):
        rows = [
            (answer["item_id"], label_of(answer["text"], answer["truncated"]), reasoning_of(answer["text"]))
            for answer in (said[when][2] if said else [])
        ]
        schema = {"pair_id": pl.String, when: pl.String, f"text_{when}": pl.String}
        said_then = pl.DataFrame(rows, schema=schema, orient="row")
        found = found.join(said_then, on="pair_id", how="left", maintain_order="left")
        right = pl.when(pl.col(when) == pl.col("reference")).then(pl.lit("right")).otherwise(pl.lit("wrong"))
        state = pl.when(pl.col(when).is_null()).then(pl.lit("no answer")).otherwise(right)
        chosen = (pl.col(when) == "yes").fill_null(value=False)
        found = found.with_columns(state.alias(f"state_{when}"), chosen.alias(f"yes_{when}"))
    return found


def _rows(both: pl.DataFrame, chosen: pl.Series, seed: int) -> dict[str, dict[str, Any]]:
    truth, requests = both["relevant"].to_numpy(), both["prompt_id"].to_numpy()
    found = pl.from_pandas(classification.scores(truth, chosen.to_numpy(), requests, seed=seed))
    return {row["metric"]: row for row in found.with_columns(pl.col("value", "low", "high").fill_nan(None)).to_dicts()}


def _scores(both: pl.DataFrame, chosen: pl.Series, seed: int) -> dict[str, Interval]:
    return {name: interval_of(row) for name, row in _rows(both, chosen, seed).items()}


def _shortened(text: str) -> str:
    if len(text) <= SHOWN:
        return text
    return f"{text[: SHOWN // 3].rstrip()} […] {text[-2 * SHOWN // 3 :].lstrip()}"
