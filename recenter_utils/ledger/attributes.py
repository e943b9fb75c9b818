"""What a study says to the findings of stage 1: diversity, attribute quality, failures, verifiers, refinement."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import polars as pl

from recenter_utils.annotation import annotators
from recenter_utils.attributes import acceptance, quality, refinement
from recenter_utils.attributes.categories import SUPPORTED
from recenter_utils.ledger.evidence import Answer, Evidence, Number, UnansweredError, extreme, number, only, told
from recenter_utils.scales import ATTRIBUTE_QUALITY, PEOPLE
from recenter_utils.stats.blocks import block_means
from recenter_utils.stats.resampling import cluster_bootstrap

#: The benchmarks of Table 1 by the format of their files.
BENCHMARKS = {"prefeval": "PrefEval", "cupid": "CUPID", "personalens": "PersonaLens"}


def _distance(rows: pl.DataFrame, why: str) -> Number:
    row = extreme(rows, why, highest=True, by="n_users")
    value = {"value": row["inter_user"], "low": row["low"], "high": row["high"], "reason": row["note"]}
    return number(value, row["n_users"], "users", row["group"])


def _benchmark(form: str, study: Evidence) -> Number:
    named = [source.name for source in study.settings.sources if source.format == form]
    rows = study.table("diversity").filter(pl.col("group").is_in(named))
    return _distance(rows, f"the study has no users of {BENCHMARKS[form]} with attributes")


def _real(study: Evidence) -> Number:
    named = [source.name for source in study.settings.sources]
    rows = study.table("diversity").filter(pl.col("group").is_in(named), kind="real")
    return _distance(rows, "the study has no users with real chats")


def _sampled(study: Evidence) -> Number:
    named = [source.name for source in study.settings.sources]
    rows = study.table("diversity").filter(~pl.col("group").is_in(named))
    return _distance(rows, "the sample is every user there is")


def _kappa(study: Evidence) -> Number:
    judged = study.counted("quality_judgments").filter(pl.col("rater_kind").is_in(PEOPLE))
    answers = annotators.wide(judged)
    users = annotators.clusters_of(answers, study.table("consensus"), "user_id")
    sides = dict.fromkeys(answers.columns, "annotators")
    labels, seed = ATTRIBUTE_QUALITY.labels, study.settings.seed
    means = block_means(answers, labels, sides, order=["annotators"], clusters=users, seed=seed)
    (row,) = pl.from_pandas(means).to_dicts()
    return number(row, len(answers), "attributes")


def _share(kind: str, label: str, study: Evidence) -> Number:
    rows = study.table("attribute_quality").filter(group=f"all {kind}", label=label)
    row = only(rows, f"no attribute from {kind} chats was judged")
    return number(row, row["n_judgments"], "judgments")


def _gap(study: Evidence) -> Number:
    answers = quality.described(study.counted("quality_judgments"), study.table("consensus"))
    return told(quality.gap(answers, seed=study.settings.seed), len(answers), "judgments")


def _failure(category: str, study: Evidence) -> Number:
    cases = study.table("failures").drop_nulls("category").filter(pl.col("category") != SUPPORTED)
    if cases.is_empty():
        raise UnansweredError("no failure has a category")
    found = cluster_bootstrap(cases["category"] == category, cases["user_id"], seed=study.settings.seed)
    return told(found, len(cases), "attributes")


def _prompted(prompt: str, study: Evidence) -> Number:
    rows = study.table("verifier_scores").filter(
        pl.col("verifier").str.ends_with(f"({prompt})"), metric="f1", rater_kind="llm"
    )
    row = extreme(rows, "no prompted verifier has an F1", highest=True)
    return number(row, row["n"], "attributes", row["verifier"].removesuffix(f" ({prompt})"))


def _trained(study: Evidence) -> Number:
    row = only(study.table("verifier_scores").filter(metric="f1", rater_kind="trained"), "no verifier was trained")
    return number(row, row["n"], "attributes")


def _accepted(group: str, study: Evidence) -> Number:
    ended = refinement.final(study.table("refinements"))
    parts = study.table("verifier_split").filter(split="test")
    judged = acceptance.long(
        ended, study.table("refined_judgments"), study.counted("quality_judgments"),
        study.table("verifier_judgments"), parts,
    )  # fmt: skip
    rows = acceptance.rates(judged, study.settings.seed).filter(pl.col("judge").str.contains("annotators"), group=group)
    row = only(rows, "no annotator who counts has judged what was refined")
    return number(row, row["attributes"], "attributes")


def _base(study: Evidence) -> str:
    base = study.settings.verifier.base
    return "" if "roberta" in base.lower() else f"{base} is trained, not RoBERTa"


def _found(study: Evidence) -> str:
    cases = study.table("failures").drop_nulls("category")
    none = len(cases.filter(category=SUPPORTED))
    return f"left out: {none:,} of {len(cases):,} in which the model finds no failure" if none else ""


def _judged(find: Callable[[Evidence], Number], *drawn: str) -> Answer:
    return Answer(find, "quality_judgments", ["extraction"], drawn)


ANSWERS: dict[str, Answer] = {
    **{
        f"diversity_{form}": Answer(partial(_benchmark, form), asked=["extraction"], drawn=[form])
        for form in BENCHMARKS
    },
    "diversity_real": Answer(_real, asked=["extraction"], drawn=["real"]),
    "diversity_sampled": Answer(_sampled, asked=["extraction"], drawn=["real"]),
    "attribute_kappa": _judged(_kappa, "real", "synthetic"),
    **{
        f"{name}_{kind}": _judged(partial(_share, kind, label), kind)
        for name, label in (("problems", "problematic"), ("uncertain", "uncertain"), ("rejected", "rejected"))
        for kind in ("real", "synthetic")
    },
    "problems_gap": _judged(_gap, "real", "synthetic"),
    **{
        f"failure_{category}": Answer(
            partial(_failure, category), "quality_judgments", ["failures"], ["real", "synthetic"], _found
        )
        for category in ("overgeneralization", "missing_evidence", "task_context_confusion", "not_standalone")
    },
    **{
        f"verifier_{prompt}": Answer(
            partial(_prompted, prompt), "quality_judgments", ["verifiers"], ["real", "synthetic"]
        )
        for prompt in ("instruction", "criteria")
    },
    "verifier_trained": Answer(_trained, "quality_judgments", drawn=["real", "synthetic"], differs=_base),
    "refined_before": Answer(
        partial(_accepted, acceptance.BEFORE), "refined_judgments", ["extraction"], ["real", "synthetic"],
        lambda study: "of what the verifier flags",
    ),
    "refined_after": Answer(
        partial(_accepted, acceptance.AFTER), "refined_judgments", ["extraction"], ["real", "synthetic"],
        lambda study: "of what the verifier flags and the extractor does not withdraw",
    ),
}  # fmt: skip
