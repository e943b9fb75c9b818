"""The trained selector: requests are never divided, what is planted is learned, and nothing is said without reason."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recenter_utils.relevance import selectors
from recenter_utils.relevance.consensus import consensus
from recenter_utils.settings import Selector
from recenter_utils.stats import classification
from recenter_utils.tables import check, table
from recenter_utils.training import classifier, fitting
from recenter_utils.training import examples as pairs
from tests.relevant import PEOPLE, Rater, judgments_of, pairs_of
from tests.test_classifier import TELLING, WORDS, tiny

__all__ = ["tiny"]  # a fixture

SPLITS = ("train", "validation", "test")


def judged(
    prompts: int = 41, attributes: int = 6, raters: dict[str, Rater] | None = None, seed: int = 1
) -> pl.DataFrame:
    found = pairs_of(prompts, attributes)
    return check("relevance_consensus", consensus(judgments_of(found, seed, raters or PEOPLE), found))


def test_the_papers_41_requests_are_divided_as_the_paper_divides_them() -> None:
    parts = check("selector_split", selectors.split(judged(), Selector(), 0))
    requests = dict(parts.group_by("split").agg(pl.col("prompt_id").n_unique()).iter_rows())
    assert requests == {"train": 31, "validation": 5, "test": 5}


@pytest.mark.parametrize("seed", range(5))
def test_no_request_is_in_two_parts_and_every_one_is_in_one(seed: int) -> None:
    found = judged(20)
    parts = selectors.split(found, Selector(test=0.3), seed)
    assert parts.group_by("prompt_id").agg(pl.col("split").n_unique())["split"].max() == 1
    assert parts["pair_id"].to_list() == found["pair_id"].to_list()
    assert set(parts["split"]) == set(SPLITS)


def test_the_split_depends_on_requests_and_seed_alone() -> None:
    found = judged()
    other = judged(seed=2).sample(fraction=1, shuffle=True, seed=3)  # other labels, another order
    columns = ["pair_id", "split"]
    first, again, third = (
        selectors.split(frame, Selector(), seed).select(columns).sort("pair_id")
        for frame, seed in ((found, 7), (other, 7), (found, 8))
    )
    assert first.equals(again)
    assert not first.equals(third)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [(0, {}), (1, {"train": 1}), (2, {"train": 1, "test": 1}), (3, {"train": 1, "validation": 1, "test": 1})],
)
def test_few_requests_are_learned_from_first_then_tested_on(requests: int, expected: dict[str, int]) -> None:
    parts = check("selector_split", selectors.split(judged(requests), Selector(), 0))
    assert dict(parts.group_by("split").agg(pl.col("prompt_id").n_unique()).iter_rows()) == expected


def test_each_part_says_how_many_of_its_requests_hold_a_relevant_pair() -> None:
    found = judged(20)
    parts = selectors.split(found, Selector(test=0.3), 0)
    test = parts.filter(split="test")
    first = test["prompt_id"].unique().sort()[:1].implode()
    parts = parts.with_columns(
        relevant=pl.when(split="test").then(pl.col("prompt_id").is_in(first)).otherwise("relevant")
    )
    row = selectors.divided(found, parts).filter(part="test").to_dicts()[0]
    assert row["requests"] == 6
    assert row["requests with a relevant pair"] == 1
    assert row["relevant"] == test.filter(pl.col("prompt_id").is_in(first)).height


def test_pairs_without_a_reference_are_in_no_part_and_counted() -> None:
    two = {"a": Rater(skips=0.3), "b": Rater(noise=1.5, skips=0.3)}
    found = judged(raters=two)
    parts = selectors.split(found, Selector(), 0)
    assert set(parts["pair_id"]) == set(found.drop_nulls("reference")["pair_id"])
    shown = selectors.divided(found, parts)
    counts = dict(shown.select("part", "pairs").iter_rows())
    tied = found.filter(pl.col("yes") == pl.col("no"), pl.col("yes") > 0)
    assert counts["none: the annotators are divided"] == len(tied) > 0
    assert counts["none: nobody judged it"] == len(found.filter(pl.col("yes") + pl.col("no") == 0)) > 0
    assert shown["pairs"].sum() == len(found)


def planted(prompts: int = 24, attributes: int = 10) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a consensus in which an attribute with a telling word is relevant, and the pairs in words."""
    draw = random.Random(3)
    frame = pairs_of(prompts, attributes)
    rows = []
    for row in frame.to_dicts():
        words = draw.sample(WORDS, 3) + [TELLING] * (row["place"] % 3 == 0)
        draw.shuffle(words)
        rows.append(row | {"attribute": " ".join(words), "benchmark": TELLING in words})
    worded = pl.DataFrame(rows, schema=frame.schema | {"benchmark": pl.Boolean})
    said = table("relevance_judgments").empty()
    return consensus(said, worded), worded.with_columns(prompt=pl.lit("bees garden"))


def rules(base: Path, **more: Any) -> Selector:
    settings = {"epochs": 10, "patience": 10, "learning_rate": 4e-3, "max_tokens": 24, "test": 0.25, "validation": 0.2}
    return Selector(base=str(base), **(settings | more))


def test_a_planted_rule_is_learned_and_kept(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, items = planted()
    settings = rules(tiny)
    parts = selectors.split(found, settings, 0)
    rows = selectors.examples(items, parts)
    assert selectors.labelled_by(found) == "benchmark"
    trained = classifier.fitted(tmp_path / "m", rows, settings, 0, labels="benchmark", progress=False)
    judgments = check("selector_judgments", selectors.judge(rows, trained))
    assert set(judgments["item_id"]) == set(parts.filter(split="test")["pair_id"])
    assert set(judgments["rater_kind"]) == {"trained"}
    test = parts.filter(split="test").join(judgments, left_on="pair_id", right_on="item_id")
    scores = classification.scores(test["relevant"], test["label"] == "yes", draws=0).set_index("metric")["value"]
    assert scores["f1"] > 0.9
    history = selectors.history(trained)
    assert history["loss"][-1] < history["loss"][0] / 2
    assert history["kept"].sum() == 1
    assert selectors.curve(judgments, parts)["recall"].max() == 1
    assert f"F1 of {scores['f1']:.2f}" in selectors.sentence(judgments, parts, 0)
    assert len(selectors.mistakes(judgments, parts, items)) <= len(
        test.filter((pl.col("label") == "yes") != pl.col("relevant"))
    )

    said = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert said.startswith("# Relevance selector")
    assert "benchmark's links" in said
    assert "| part | examples | requests | positive |" in said
    assert "verifier" not in said.lower()
    record = json.loads((tmp_path / "m" / "card.json").read_text(encoding="utf-8"))
    assert record["seconds"] > 0
    assert record["peak_memory"] > 2**20

    monkeypatch.setattr(fitting, "fit", lambda *_: pytest.fail("trained again"))
    again = classifier.fitted(tmp_path / "m", rows.reverse(), settings, 0, progress=False)
    assert again.record == trained.record


def test_labels_of_simulated_annotators_on_peoples_chats_are_called_simulated(tiny: Path, tmp_path: Path) -> None:
    found, items = planted(9, 6)
    settings = rules(tiny, epochs=1)
    rows = selectors.examples(items, selectors.split(found, settings, 0))
    for labels, word in (("simulated", "SIMULATED"), ("people", "people's"), ("", "SIMULATED")):
        folder = tmp_path / f"m{labels}"
        classifier.fitted(folder, rows, settings, 0, origin="human+simulated", labels=labels, progress=False)
        said = (folder / "README.md").read_text(encoding="utf-8")
        assert word in said
        assert ("SIMULATED" in said) != ("people's" in said)


def test_the_threshold_is_one_of_the_stored_model(tiny: Path, tmp_path: Path) -> None:
    found, items = planted(12, 8)
    settings = rules(tiny, epochs=2)
    rows = selectors.examples(items, selectors.split(found, settings, 0))
    trained = classifier.fitted(tmp_path / "m", rows, settings, 0, progress=False)
    part = rows.filter(split="validation").sort("item_id")
    scores = trained.scores(part["text"], part["attribute"])
    reached = classification.scores(part["positive"], scores >= trained.threshold, draws=0).set_index("metric")["value"]
    best = max(
        classification.scores(part["positive"], scores >= cut, draws=0).set_index("metric")["value"]["f1"]
        for cut in scores
    )
    assert reached["f1"] == pytest.approx(best)


def test_nothing_to_learn_from_gives_empty_tables_and_the_reason() -> None:
    nothing = table("relevance_consensus").empty()
    items = pairs_of(0).with_columns(prompt=pl.lit("", pl.String))
    parts = check("selector_split", selectors.split(nothing, Selector(), 0))
    rows = selectors.examples(items, parts)
    reason = pairs.lacking(rows)
    judgments = check("selector_judgments", selectors.judge(rows, None))
    assert judgments.is_empty()
    assert selectors.divided(nothing, parts)["pairs"].sum() == 0
    assert selectors.history(None).is_empty()
    assert selectors.curve(judgments, parts).is_empty()
    assert selectors.mistakes(judgments, parts, items).is_empty()
    assert selectors.labelled_by(nothing) == ""
    assert reason in classifier.described(None, reason)
    assert selectors.sentence(judgments, parts, 0, reason) == f"Nothing can be said of a trained selector: {reason}."


def test_one_label_alone_is_a_reason_not_to_train() -> None:
    found = judged(raters={"never": Rater(threshold=99)})
    parts = selectors.split(found, Selector(), 0)
    items = pairs_of(41, 6).with_columns(prompt=pl.lit("?"))
    assert "same label" in pairs.lacking(selectors.examples(items, parts))
