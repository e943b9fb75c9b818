"""What a study says to the findings of stage 3: ratings, judges beside annotators, mentions, reward models."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from recenter_utils.codebook.mentions import DETECTORS
from recenter_utils.ledger.evidence import Answer, Evidence, Number, extreme, number, only
from recenter_utils.responses.ratings import ALL_ANNOTATORS, ALL_GENERATORS

#: The paper's backbones of reward models (§6.3).
BACKBONES = ("ModernBERT", "Qwen2.5-1.5B", "Llama-3.2-1B")

_UNRATED = "no annotator who counts has rated a comparison"


def _scores(study: Evidence, statistic: str, **more: str) -> pl.DataFrame:
    found = study.table("preference_scores").filter(statistic=statistic, **more)
    return found if "generator" in more else found.filter(generator=ALL_GENERATORS)


def _rating(statistic: str, study: Evidence) -> Number:
    row = only(_scores(study, statistic, rater=ALL_ANNOTATORS), _UNRATED)
    return number(row, row["n_ratings"], "ratings")


def _likeness(statistic: str, study: Evidence) -> Number:
    row = only(_scores(study, statistic, rater=ALL_ANNOTATORS), _UNRATED)
    return number(row, row["n"], "comparisons")


def _generator(highest: bool, study: Evidence) -> Number:
    rows = study.table("preference_scores").filter(
        pl.col("generator") != ALL_GENERATORS, statistic="mean", rater=ALL_ANNOTATORS
    )
    row = extreme(rows, _UNRATED, highest)
    return number(row, row["n_ratings"], "ratings", row["generator"])


def _judge(statistic: str, highest: bool, study: Evidence) -> Number:
    rows = _scores(study, statistic, rater_kind="llm")
    row = extreme(rows, _why(rows, "no model has rated what annotators rated"), highest)
    return number(row, row["n"], "comparisons", row["rater"])


def _mentions(highest: bool, study: Evidence) -> Number:
    rows = study.table("mention_rates").filter(pl.col("generator") != ALL_GENERATORS)
    kinds = rows.drop_nulls("value")["detector_kind"].to_list()
    asked = next((kind for kind in DETECTORS if kind in kinds), DETECTORS[0])
    row = extreme(rows.filter(detector_kind=asked), _why(rows, "no response was looked at for mentions"), highest)
    return number(row, row["n_comparisons"] - row["n_unknown"], "comparisons", row["generator"])


def _gap(statistic: str, study: Evidence) -> Number:
    rows = study.table("mention_gaps").filter(rater=ALL_ANNOTATORS, generator=ALL_GENERATORS, statistic=statistic)
    row = only(rows, _UNRATED)
    return number(row, row["n_ratings"], "ratings")


def _gap_of_judge(highest: bool, study: Evidence) -> Number:
    rows = study.table("mention_gaps").filter(rater_kind="llm", generator=ALL_GENERATORS, statistic="pooled")
    row = extreme(rows, _why(rows, "no model has rated both kinds of response"), highest)
    return number(row, row["n_ratings"], "ratings", row["rater"])


def _correlation(study: Evidence) -> Number:
    row = only(study.table("generator_judge_correlation").filter(statistic="pooled"), "no model writes and judges")
    return number(row, row["n_models"], "models")


def _reward(study: Evidence) -> Number:
    rows = study.table("reward_scores").filter(
        analysis="models", rater_kind="trained", learned_from="pooled", measure="spearman"
    )
    row = extreme(rows, _why(rows, "no reward model was trained"), highest=True)
    return number(row, row["n"], "comparisons", row["model"])


def _why(rows: pl.DataFrame, otherwise: str) -> str:
    """Return the reason that a table gives for having no number, if it gives one."""
    said = rows["reason"].drop_nulls()
    return str(said[0]) if len(said) else otherwise


def _backbones(study: Evidence) -> str:
    others = [name for name in study.settings.reward.bases if not any(one.lower() in name.lower() for one in BACKBONES)]
    return f"trained: {', '.join(others)}, none of the paper's backbones" if others else ""


def _weights(study: Evidence) -> str:
    return "quadratic weights; the paper does not say which"


def _fixed(study: Evidence) -> str:
    """Say that the interval of a correlation over models does not speak of models."""
    return f"interval over requests, for these {_correlation(study).n} models alone"


def _by_people(find: Any, *roles: str, differs: Any = None) -> Answer:
    return Answer(find, "preference_raters", ["generators", *roles], ["requests"], differs)


def _by_models(find: Any, *roles: str, differs: Any = None) -> Answer:
    return Answer(find, asked=["generators", *roles], drawn=["requests"], differs=differs)


ANSWERS: dict[str, Answer] = {
    "rating_people": _by_people(partial(_rating, "mean")),
    "no_better": _by_people(partial(_rating, "no_better")),
    "generator_best": _by_people(partial(_generator, True)),
    "generator_worst": _by_people(partial(_generator, False)),
    "preference_spearman": _by_people(partial(_likeness, "spearman_pairs")),
    "preference_kappa": _by_people(partial(_likeness, "quadratic_kappa"), differs=_weights),
    "inflation_lowest": _by_people(partial(_judge, "inflation", False), "preference"),
    "inflation_highest": _by_people(partial(_judge, "inflation", True), "preference"),
    "judge_spearman_lowest": _by_people(partial(_judge, "spearman", False), "preference"),
    "judge_spearman_highest": _by_people(partial(_judge, "spearman", True), "preference"),
    "mentions_lowest": _by_models(partial(_mentions, False), "mentions"),
    "mentions_highest": _by_models(partial(_mentions, True), "mentions"),
    "mention_gap_pooled": _by_people(partial(_gap, "pooled"), "mentions"),
    "mention_gap_adjusted": _by_people(partial(_gap, "adjusted"), "mentions"),
    "judge_gap_lowest": _by_models(partial(_gap_of_judge, False), "preference", "mentions"),
    "judge_gap_highest": _by_models(partial(_gap_of_judge, True), "preference", "mentions"),
    "generator_judge": _by_models(_correlation, "preference", "mentions", differs=_fixed),
    "reward_spearman": _by_people(_reward, differs=_backbones),
}
