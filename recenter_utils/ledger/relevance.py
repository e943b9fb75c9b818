"""What a study says to the findings of stage 2: agreement, yes-rates, and how well selectors find what people find."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import polars as pl

from recenter_utils.ledger.evidence import Answer, Evidence, Number, UnansweredError, extreme, number, only, told
from recenter_utils.relevance import agreement, retrieval, selection
from recenter_utils.scales import PEOPLE
from recenter_utils.stats.blocks import Block, block_name
from recenter_utils.stats.resampling import cluster_bootstrap


def _block(block: Block, study: Evidence) -> Number:
    row = only(study.table("relevance_blocks").filter(block=block_name(block)), "nobody judged relevance")
    pairs = study.table("relevance_raters")["n_pairs"]
    return number(row, int(pairs.max()) if len(pairs) else None, "pairs")  # type: ignore[arg-type]


def _yes(study: Evidence) -> Number:
    judged = study.counted("relevance_judgments").filter(pl.col("rater_kind").is_in(PEOPLE))
    if judged.is_empty():
        raise UnansweredError("no annotator who counts judged relevance")
    said = judged.join(study.table("pairs").select("prompt_id", item_id="pair_id"), on="item_id")
    found = cluster_bootstrap(said["label"] == "yes", said["prompt_id"], seed=study.settings.seed)
    return told(found, said["item_id"].n_unique(), "pairs")


def _yes_of_model(highest: bool, study: Evidence) -> Number:
    models = study.table("relevance_raters").filter(rater_kind="llm")
    row = extreme(models, "no model judged relevance", highest, by="yes_rate")
    return number(row | {"value": row["yes_rate"]}, row["n_answered"], "pairs", row["rater"])


def _f1(row: Mapping[str, Any], name: str = "") -> Number:
    return number(row, row["n"], "pairs", name)


def _retrieval(embedding: bool, study: Evidence) -> Number:
    ranker = retrieval.name(study.settings.models.embedding) if embedding else retrieval.BM25
    named = f"{ranker} ({next(iter(retrieval.CUT_OFFS))})"
    rows = study.table("selection_scores").filter(selector=named, items="all", metric="f1")
    return _f1(only(rows, "no pair has a reference, or nothing was retrieved"))


def _zero_shot(study: Evidence) -> Number:
    row = selection.best(study.table("selection_scores"), "llm", "all")
    if row is None:
        raise UnansweredError("no model that is asked has an F1")
    return _f1(row, row["selector"])


def _trained(grpo: bool, study: Evidence) -> Number:
    rows = study.table("selection_scores").filter(rater_kind="trained", items="test", metric="f1")
    rows = rows.filter(pl.col("selector").str.ends_with("+ GRPO") == grpo)
    smoke = grpo and study.settings.grpo.train and study.settings.grpo.base == "smoke"
    lacking = "GRPO was only tried out, in a smoke run" if smoke else "nothing was trained with GRPO"
    return _f1(extreme(rows, lacking if grpo else "no encoder was trained", highest=True))


def _cut(study: Evidence) -> str:
    return "as many are selected as are relevant over all; the paper does not say over what"


def _held_out(base: str, paper: str, study: Evidence) -> str:
    name = getattr(study.settings, base).base
    same = paper.lower() in name.lower()
    return "" if same else f"{name} is trained, not {paper}"


ANSWERS: dict[str, Answer] = {
    "kappa_people": Answer(partial(_block, agreement.WITHIN_PEOPLE), "relevance_judgments", drawn=["requests"]),
    "kappa_models": Answer(partial(_block, agreement.WITHIN_MODELS), asked=["relevance"], drawn=["requests"]),
    "kappa_between": Answer(
        partial(_block, agreement.BETWEEN), "relevance_judgments", ["relevance"], drawn=["requests"]
    ),
    "yes_people": Answer(_yes, "relevance_judgments", drawn=["requests"]),
    "yes_models_lowest": Answer(partial(_yes_of_model, False), asked=["relevance"], drawn=["requests"]),
    "yes_models_highest": Answer(partial(_yes_of_model, True), asked=["relevance"], drawn=["requests"]),
    "f1_embedding": Answer(partial(_retrieval, True), "relevance_consensus", drawn=["requests"], differs=_cut),
    "f1_bm25": Answer(partial(_retrieval, False), "relevance_consensus", drawn=["requests"], differs=_cut),
    "f1_zero_shot": Answer(_zero_shot, "relevance_consensus", ["relevance"], ["requests"]),
    "f1_selector": Answer(
        partial(_trained, False), "relevance_consensus", drawn=["requests"],
        differs=partial(_held_out, "selector", "RoBERTa"),
    ),
    "f1_grpo": Answer(
        partial(_trained, True), "relevance_consensus", drawn=["requests"],
        differs=partial(_held_out, "grpo", "Qwen3-4B"),
    ),
}  # fmt: skip
