"""The ledger: what a study says to each finding of the paper, and why the two differ, from its own files and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from recenter_utils import figures, published, settings
from recenter_utils.declarations import declaration
from recenter_utils.ledger import lines, page, reasons
from recenter_utils.ledger.evidence import Answer, Evidence, Number, UnansweredError
from recenter_utils.responses.ratings import ALL_ANNOTATORS, ALL_GENERATORS
from recenter_utils.study import Study
from recenter_utils.tables import TABLES, table
from tests import planted_study
from tests.workspaces import ROOT

FINDINGS = published.read("findings")
READS = declaration("26-ledger", ROOT).reads
ENGINES = {"rule-a": "embedded", "rule-b": "embedded", "gpt-5.4": "openai", "other": "vllm"}

Rows = Mapping[str, Sequence[Mapping[str, Any]]]


def setup(**sections: Any) -> settings.Settings:
    """Settings of a small study: invented chats, two rules as models."""
    sources = [
        {"name": "chat", "format": "chatlog", "path": "a", "kind": "real", "origin": "simulated"},
        {"name": "pref", "format": "prefeval", "path": "b", "kind": "synthetic", "origin": "simulated"},
    ]
    roles: dict[str, Any] = dict.fromkeys(("extraction", "failures", "mentions"), "rule-a")
    roles |= dict.fromkeys(("verifiers", "relevance", "generators", "preference"), ("rule-a", "rule-b"))
    values = {"title": "T", "sources": sources, "models": roles, "pairing": {"origin": "simulated"}}
    return settings.check(values | sections, "here")


def evidence(rows: Rows, **sections: Any) -> Evidence:
    """A study with these rows; all other tables are empty."""
    made = {name: filled(name, rows[name]) if name in rows else table(name).empty() for name in READS}
    return Evidence(made, setup(**sections), ENGINES)


def filled(name: str, rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a table of that name, with something in the columns that they leave out and that must have something."""
    made = []
    for number, row in enumerate(rows):
        blank: dict[str, Any] = {}
        for column, spec in table(name).schema.columns.items():
            if not spec.nullable and column not in row:
                dtype = table(name).columns[column]
                blank[column] = {pl.Int64: 0, pl.Float64: 0.0, pl.Boolean: False}.get(type(dtype), f"{column}{number}")
        made.append(blank | dict(row))
    return table(name).frame(made)


def line(study: Evidence, key: str) -> dict[str, Any]:
    (row,) = lines.compare(FINDINGS.filter(key=key), study).to_dicts()
    return row


def judgment(item: str, rater: str, label: str, kind: str = "simulated") -> dict[str, Any]:
    return {"item_id": item, "rater": rater, "rater_kind": kind, "label": label, "task": "relevance"}


def score(rater: str, statistic: str, value: float, kind: str, generator: str = ALL_GENERATORS) -> dict[str, Any]:
    ends = {"low": value - 0.1, "high": value + 0.1, "n": 40, "n_ratings": 120}
    return {"rater": rater, "rater_kind": kind, "generator": generator, "statistic": statistic, "value": value} | ends


PAIRS = {
    "pairs": [{"pair_id": f"p{n}", "prompt_id": f"q{n % 5}"} for n in range(20)],
    "relevance_judgments": [
        judgment(f"p{n}", rater, "yes" if n < yes else "no")
        for rater, yes in (("simulated-1", 4), ("simulated-2", 8), ("out", 20))
        for n in range(20)
    ],
    "relevance_raters": [
        {"rater": name, "rater_kind": "llm", "yes_rate": rate, "low": rate - 0.05, "high": rate + 0.05}
        | {"n_pairs": 20, "n_answered": 20}
        for name, rate in (("rule-a", 0.3), ("rule-b", 0.6))
    ]
    + [{"rater": "silent", "rater_kind": "llm", "yes_rate": None, "n_pairs": 20, "reason": "there is none"}],
    "relevance_consensus": [{"pair_id": "p0", "reference": "yes", "reference_by": "simulated"}],
    "relevance_blocks": [
        {"block": "people with people", "value": 0.42, "low": 0.4, "high": 0.5, "n_pairs": 1},
        {"block": "people with models", "value": 0.2, "low": 0.1, "high": 0.29, "n_pairs": 4},
    ],
    "selection_scores": [
        {"selector": name, "rater_kind": kind, "items": items, "metric": "f1", "value": value, "n": n}
        | {"low": value - 0.1, "high": value + 0.1}
        for name, kind, items, value, n in (
            ("BM25 (over all)", "retrieval", "test", 0.8, 5),
            ("BM25 (over all)", "retrieval", "all", 0.2, 20),
            ("BM25 (within requests)", "retrieval", "all", 0.9, 20),
            ("rule-a", "llm", "all", 0.4, 20),
            ("rule-b", "llm", "all", 0.5, 20),
            ("rule-b", "llm", "test", 0.9, 5),
            ("trained x", "trained", "test", 0.6, 5),
            ("x + GRPO", "trained", "test", 0.7, 5),
        )
    ],
}
RESPONSES = {
    "preference_raters": [
        {"rater": "simulated-1", "rater_kind": "simulated"},
        {"rater": "rule-a", "rater_kind": "llm"},
    ],
    "preference_scores": [
        score(ALL_ANNOTATORS, "mean", 3.1, "simulated"),
        score(ALL_ANNOTATORS, "mean", 3.9, "simulated", "rule-a"),
        score(ALL_ANNOTATORS, "mean", 2.2, "simulated", "rule-b"),
        score(ALL_ANNOTATORS, "no_better", 0.5, "simulated"),
        score(ALL_ANNOTATORS, "spearman_pairs", 0.3, "simulated"),
        score(ALL_ANNOTATORS, "quadratic_kappa", 0.2, "simulated"),
        score("rule-a", "inflation", 0.1, "llm"),
        score("rule-b", "inflation", 0.9, "llm"),
        score("rule-b", "inflation", 4.0, "llm", "rule-a"),
        score("rule-a", "spearman", 0.05, "llm"),
        score("rule-b", "spearman", 0.45, "llm"),
        score("simulated-1", "spearman", 0.99, "simulated"),
    ],
    "mention_rates": [
        {"generator": name, "detector": "d", "detector_kind": kind, "n_comparisons": 30, "n_unknown": 2}
        | {"value": value, "low": value, "high": value}
        for name, kind, value in (
            ("rule-a", "llm", 0.1),
            ("rule-b", "llm", 0.6),
            (ALL_GENERATORS, "llm", 0.01),
            ("rule-a", "lexical", 0.0),
        )
    ],
    "mention_gaps": [
        {"rater": rater, "rater_kind": kind, "generator": ALL_GENERATORS, "statistic": statistic, "n_ratings": 90}
        | {"value": value, "low": value - 0.2, "high": value + 0.2}
        for rater, kind, statistic, value in (
            (ALL_ANNOTATORS, "simulated", "pooled", 0.0),
            (ALL_ANNOTATORS, "simulated", "adjusted", 0.2),
            ("rule-a", "llm", "pooled", -0.3),
            ("rule-b", "llm", "pooled", 0.5),
            ("rule-b", "llm", "adjusted", 0.9),
        )
    ],
    "generator_judge_correlation": [
        {"statistic": "pooled", "n_models": 2, "value": None, "exact": True, "reason": "a correlation takes 3"},
        {"statistic": "adjusted", "n_models": 5, "value": 1.0, "exact": True},
    ],
    "reward_scores": [
        {"analysis": analysis, "model": model, "rater_kind": "trained", "learned_from": "pooled", "measure": measure}
        | {"value": value, "low": value - 0.3, "high": value + 0.3, "n": 40}
        for analysis, model, measure, value in (
            ("models", "m1", "spearman", 0.2),
            ("models", "m2", "spearman", 0.4),
            ("models", "m2", "pearson", 0.8),
            ("curve", "m2", "spearman", 0.9),
        )
    ],
}


# -- what a study says ----------------------------------------------------------------------------------------


def test_every_finding_has_an_answer_and_every_answer_a_finding() -> None:
    assert FINDINGS["key"].to_list() == list(dict.fromkeys(FINDINGS["key"]))
    assert set(FINDINGS["key"]) == set(lines.ANSWERS)
    assert set(FINDINGS["stage"]) == set(lines.STAGES)


def test_a_study_with_empty_tables_says_of_every_finding_why_it_has_no_number() -> None:
    ledger = lines.compare(FINDINGS, evidence({}))
    assert ledger["value"].null_count() == len(FINDINGS)
    assert ledger["reason"].null_count() == 0
    assert ledger["place"].null_count() == len(FINDINGS)
    assert all(not why for why in ledger["why"].to_list())
    assert "has no number for any of the paper's" in lines.sentence(ledger, "simulated")
    assert len(lines.missing(ledger)) == len(FINDINGS)
    for stage in lines.STAGES:
        assert page.ledger(ledger, stage, "simulated").data.count("–") == len(FINDINGS.filter(stage=stage))
    assert figures.ledger(ledger.to_pandas())


def test_a_table_that_has_not_been_made_is_named() -> None:
    ledger = lines.compare(FINDINGS, Evidence({}, setup(), ENGINES))
    assert ledger["reason"].str.contains(r"the table '\w+' has not been made").all()


def test_stage_2_finds_extremes_and_the_right_pairs_in_its_tables() -> None:
    study = evidence(PAIRS, annotation={"excluded": ["out"]})
    assert line(study, "yes_people")["value"] == pytest.approx(12 / 40)
    assert line(study, "yes_people")["n"] == 20
    lowest, highest = line(study, "yes_models_lowest"), line(study, "yes_models_highest")
    assert (lowest["value"], lowest["name"]) == (0.3, "rule-a")
    assert (highest["value"], highest["name"], highest["low"]) == (0.6, "rule-b", pytest.approx(0.55))
    assert line(study, "f1_bm25")["value"] == 0.2
    assert line(study, "f1_embedding")["reason"] == "no pair has a reference, or nothing was retrieved"
    assert (line(study, "f1_zero_shot")["value"], line(study, "f1_zero_shot")["name"]) == (0.5, "rule-b")
    assert (line(study, "f1_selector")["value"], line(study, "f1_selector")["n"]) == (0.6, 5)
    assert line(study, "f1_grpo")["value"] == 0.7
    assert line(study, "kappa_people")["n"] == 20
    assert line(study, "kappa_models")["reason"] == "nobody judged relevance"


def test_stage_3_finds_whose_number_it_is() -> None:
    study = evidence(RESPONSES)
    got = {key: line(study, key) for key in STAGE_3}
    assert {key: row["value"] for key, row in got.items()} == pytest.approx(STAGE_3, nan_ok=True)
    assert got["generator_best"]["name"] == "rule-a"
    assert got["inflation_highest"]["name"] == "rule-b"
    assert got["mentions_lowest"]["n"] == 28
    assert got["rating_people"]["n"] == 120
    assert got["reward_spearman"]["name"] == "m2"
    assert line(study, "generator_judge")["reason"] == "a correlation takes 3"


STAGE_3 = {
    "rating_people": 3.1,
    "no_better": 0.5,
    "generator_best": 3.9,
    "generator_worst": 2.2,
    "preference_spearman": 0.3,
    "preference_kappa": 0.2,
    "inflation_lowest": 0.1,
    "inflation_highest": 0.9,
    "judge_spearman_lowest": 0.05,
    "judge_spearman_highest": 0.45,
    "mentions_lowest": 0.1,
    "mentions_highest": 0.6,
    "mention_gap_pooled": 0.0,
    "mention_gap_adjusted": 0.2,
    "judge_gap_lowest": -0.3,
    "judge_gap_highest": 0.5,
    "reward_spearman": 0.4,
}


def test_stage_1_counts_judgments_and_leaves_out_who_is_excluded() -> None:
    labels = ("accepted", "accepted", "uncertain", "rejected")
    judged = [
        judgment(f"{kind}{n}", rater, labels[(n + shift) % 4]) | {"task": "attribute_quality"}
        for kind in ("real", "synthetic")
        for n in range(12)
        for rater, shift in (("simulated-1", 0), ("simulated-2", 0), ("out", 1))
    ]
    consensus = [
        {"item_id": f"{kind}{n}", "user_id": f"u{n % 4}", "source": "chat", "kind": kind}
        for kind in ("real", "synthetic")
        for n in range(12)
    ]
    quality = [
        {"group": "all real", "kind": "real", "label": "problematic", "value": 0.5, "low": 0.4, "high": 0.6}
        | {"n_judgments": 24}
    ]
    failures = [
        {"item_id": str(n), "user_id": f"u{n % 4}", "kind": "real", "category": category, "judgment": "uncertain"}
        for n, category in enumerate(["overgeneralization", "overgeneralization", "supported", "others", None])
    ]
    rows = {"quality_judgments": judged, "consensus": consensus, "attribute_quality": quality, "failures": failures}
    study = evidence(rows, annotation={"excluded": ["out"]})
    assert (line(study, "attribute_kappa")["value"], line(study, "attribute_kappa")["n"]) == (1.0, 24)
    assert line(study, "problems_real")["n"] == 24
    assert line(study, "problems_synthetic")["reason"] == "no attribute from synthetic chats was judged"
    assert line(study, "problems_gap")["value"] == pytest.approx(0)
    over = line(study, "failure_overgeneralization")
    assert (over["value"], over["n"]) == (pytest.approx(2 / 3), 3)
    assert "left out: 1 of 4 in which the model finds no failure" in over["why"]


def test_distances_are_found_by_the_format_of_a_source_and_the_sample_by_its_name() -> None:
    rows = [
        {"group": group, "kind": kind, "n_users": users, "inter_user": value, "low": value, "high": value}
        for group, kind, users, value in (
            ("chat", "real", 9, 0.7),
            ("pref", "synthetic", 3, 0.5),
            ("the diverse sample", "real", 4, 0.8),
        )
    ]
    study = evidence({"diversity": rows})
    assert [line(study, f"diversity_{key}")["value"] for key in ("real", "prefeval", "sampled")] == [0.7, 0.5, 0.8]
    assert line(study, "diversity_cupid")["reason"] == "the study has no users of CUPID with attributes"
    alone = evidence({"diversity": rows[:2]})
    assert line(alone, "diversity_sampled")["reason"] == "the sample is every user there is"


def test_a_number_without_an_interval_keeps_its_reason() -> None:
    row = score(ALL_ANNOTATORS, "mean", 5.0, "simulated") | {"low": None, "high": None, "reason": "one page"}
    ledger = lines.compare(FINDINGS.filter(key="rating_people"), evidence(RESPONSES | {"preference_scores": [row]}))
    (got,) = ledger.to_dicts()
    assert (got["value"], got["low"], got["place"], got["reason"]) == (5.0, None, None, "one page")
    assert "no interval" in page.ledger(ledger, 3, "simulated").data


# -- why they differ ------------------------------------------------------------------------------------------


def why(key: str, rows: Rows, **sections: Any) -> list[str]:
    found: list[str] = line(evidence(rows, **sections), key)["why"]
    return found


def test_who_judged_is_read_from_the_tables() -> None:
    assert "simulated annotators, not people" in why("yes_people", PAIRS)
    people = [row | {"rater_kind": "human"} for row in PAIRS["relevance_judgments"]]
    assert "other people" in why("yes_people", PAIRS | {"relevance_judgments": people})
    mixed = [*people[:20], *PAIRS["relevance_judgments"][20:]]
    assert "people and simulated annotators together" in why("yes_people", PAIRS | {"relevance_judgments": mixed})
    reference = [{"pair_id": "p0", "reference": "yes", "reference_by": "benchmark"}]
    told = why("f1_bm25", PAIRS | {"relevance_consensus": reference})
    assert "held against a benchmark's links, not against annotators" in told


def test_which_models_answered_is_read_from_the_study_file() -> None:
    def told(*names: str) -> list[str]:
        return why("yes_models_lowest", PAIRS, models={"relevance": list(names)})

    assert "judges: rules, no language models" in told("rule-a", "rule-b")
    assert "judges: other" in told("other")
    assert "judges: without claude-sonnet-4.6, gemma-4-31b, llama-3.3-70b, qwen3.5-27b" in told("gpt-5.4")
    assert not [reason for reason in told(*reasons.FIVE) if reason.startswith("judges")]


def test_whose_chats_and_requests_is_read_from_the_study_file() -> None:
    rows = {"diversity": [{"group": "chat", "kind": "real", "n_users": 9, "inter_user": 0.7, "low": 0.6, "high": 0.8}]}
    chat = {"name": "chat", "path": "a", "kind": "real"}
    assert "invented chats" in why("diversity_real", rows)
    assert "users of chat" in why("diversity_real", rows, sources=[chat | {"format": "oasst"}])
    assert "other users of the same sources" in why("diversity_real", rows, sources=[chat | {"format": "wildchat"}])
    assert "invented requests" in why("yes_people", PAIRS)
    assert "other requests" in why("yes_people", PAIRS, pairing={"origin": "human"})
    assert "tasks of PersonaLens" in why("yes_people", PAIRS, pairing={"format": "personalens"})


def test_sizes_and_definitions_are_compared() -> None:
    assert "20 pairs, not 3,969" in why("yes_people", PAIRS)
    assert "120 ratings, not 1,101" in why("rating_people", RESPONSES)
    assert "40 comparisons, not 367" in why("preference_kappa", RESPONSES)
    assert "quadratic weights; the paper does not say which" in why("preference_kappa", RESPONSES)
    assert "all-MiniLM-L6-v2 is trained, not RoBERTa" in why("f1_selector", PAIRS)
    same = why("f1_selector", PAIRS, selector={"base": "FacebookAI/roberta-base"})
    assert not [reason for reason in same if "RoBERTa" in reason]
    assert "trained: all-MiniLM-L6-v2, none of the paper's backbones" in why("reward_spearman", RESPONSES)


def test_a_detector_is_among_what_differs_wherever_mentions_count() -> None:
    correlation = {"statistic": "pooled", "n_models": 5, "value": 0.9, "low": 0.1, "high": 1.0, "exact": True}
    study = RESPONSES | {"generator_judge_correlation": [correlation]}
    keys = [key for key in lines.ANSWERS if "mention" in key or "judge_gap" in key or key == "generator_judge"]
    assert len(keys) == 7
    for key in keys:
        assert "detector: rules, no language model" in why(key, study), key
    assert not [reason for reason in why("rating_people", study) if reason.startswith("detector")]
    assert "interval over requests, for these 5 models alone" in why("generator_judge", study)


def test_nothing_is_said_of_a_size_that_the_paper_does_not_give() -> None:
    assert not [reason for reason in why("reward_spearman", RESPONSES) if "comparisons" in reason]


def test_a_study_whose_design_is_the_paper_s_is_left_with_chance() -> None:
    (finding,) = FINDINGS.filter(key="rating_people").to_dicts()
    answer = Answer(lambda study: Number(3.0, 2.9, 3.1, 1101, "ratings"), asked=["preference"])
    same = evidence({}, models={"preference": list(reasons.FIVE)})
    assert reasons.why(answer, same.answer(answer.find), finding, same) == [reasons.CHANCE]


@pytest.mark.parametrize(
    ("ends", "qualifier", "place"),
    [
        ((0.2, 0.4), None, "holds"),
        ((0.3, 0.3), None, "holds"),
        ((0.1, 0.29), None, "below"),
        ((0.31, 0.4), "about", "above"),
        ((0.31, 0.4), "above", "holds"),
        ((0.1, 0.29), "above", "below"),
        ((float("nan"), float("nan")), None, None),
    ],
)
def test_an_interval_holds_the_published_number_or_lies_beside_it(
    ends: tuple[float, float], qualifier: str | None, place: str | None
) -> None:
    assert reasons.place(Number(0.3, *ends), 0.3, qualifier) == place


# -- the page -------------------------------------------------------------------------------------------------


def test_what_differs_in_every_line_is_said_once() -> None:
    study = evidence(PAIRS)
    ledger = lines.compare(FINDINGS.filter(stage=2), study)
    assert lines.shared(ledger) == ["invented requests"]
    shown = page.ledger(ledger, 2, "simulated+model").data
    assert shown.count("invented requests") == 1
    assert shown.count("PUBLISHED") == 1
    assert shown.count("SIMULATED") == 1
    assert shown.index("SIMULATED") < shown.index("</caption>")
    assert shown.count("judges: rules, no language models") > 1


def test_the_page_shows_names_and_reasons_as_text() -> None:
    rows = [row | {"rater": f"<i>{row['rater']}</i>"} for row in PAIRS["relevance_raters"]]
    ledger = lines.compare(FINDINGS.filter(stage=2), evidence(PAIRS | {"relevance_raters": rows}))
    shown = page.ledger(ledger, 2, "").data
    assert "<i>" not in shown
    assert "&lt;i&gt;rule-a&lt;/i&gt;" in shown
    assert "≈ 0.200" in shown


def test_the_claim_counts_and_a_simulated_study_claims_nothing_of_the_paper() -> None:
    ledger = lines.compare(FINDINGS, evidence(PAIRS | RESPONSES))
    known = ledger.drop_nulls("value")
    said = lines.sentence(ledger, "simulated+model")
    assert f"Of {len(FINDINGS)} findings of the paper this study has a number for {len(known)}" in said
    counts = dict(known["place"].drop_nulls().value_counts().iter_rows())
    assert f"{counts['holds']} hold the published number, {counts['below']} lie below it and" in said
    assert "neither agreement nor difference bears on the paper" in said
    people = lines.sentence(ledger, "human+model")
    assert "A published number has an error as well" in people
    assert "an interval misses it in about one of 6 cases" in people
    assert "simulated" not in people


def test_an_interval_misses_an_estimate_from_as_much_data_in_a_sixth_of_cases() -> None:
    sixth = 2 * norm.cdf(-1.96 / np.sqrt(2))
    assert round(sixth, 3) == round(lines.MISSES, 3) == 0.166
    rng = np.random.default_rng(0)

    def missed(error: float, apart: float) -> float:
        """Of the highest of five numbers, with the published error in units of the study's."""
        true = apart * np.arange(5)
        study, paper = ((true + size * rng.normal(size=(20_000, 5))).max(axis=1) for size in (1, error))
        return float(np.mean(np.abs(study - paper) > 1.96))

    # The highest of many that are far apart is a number like any other; of many alike it is not, in either direction.
    assert missed(1, apart=10) == pytest.approx(lines.MISSES, abs=0.01)
    assert missed(1, apart=0) < 0.06
    assert missed(0, apart=0) > 0.1 > 0.06 > missed(0, apart=10)


def test_the_figure_has_a_row_a_finding_whatever_is_missing() -> None:
    for rows in ({}, PAIRS, PAIRS | RESPONSES):
        ledger = lines.compare(FINDINGS, evidence(rows))
        picture = figures.ledger(ledger.to_pandas())
        assert sum(len(panel.get_yticklabels()) for panel in picture.axes) == len(FINDINGS)
    assert figures.ledger(table("ledger").empty().to_pandas())


def test_a_notebook_s_evidence_is_what_it_declares_and_has_been_made(workspace: Path) -> None:
    assert set(READS) <= set(TABLES)
    study = Study.open("demo", notebook="26-ledger")
    assert Evidence.of(study).tables == {}
    Study.open("demo").write("diversity", table("diversity").empty())
    found = Evidence.of(Study.open("demo", notebook="26-ledger"))
    assert list(found.tables) == ["diversity"]
    with pytest.raises(UnansweredError, match="'failures' has not been made"):
        found.table("failures")
    ledger = lines.compare(published.read("findings", study), found)
    study.write("ledger", ledger, published.ORIGIN)
    assert study.origin == "published"
    assert len(study.frame("ledger")) == len(FINDINGS)


def test_the_notebook_finishes_in_a_study_in_which_nothing_has_run(workspace: Path) -> None:
    said = planted_study.run(workspace, "26-ledger")
    assert f"no number for any of the paper&#x27;s {len(FINDINGS)} findings yet" in said
    assert said.count("has not been made") == len(FINDINGS)
    assert (workspace / "figures" / "demo" / "ledger.png").is_file()
