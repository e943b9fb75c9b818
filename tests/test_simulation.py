"""Simulated annotators: they answer as their matrices say, and nothing but seed, name and item decides an answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from recenter_utils.annotation import simulation
from recenter_utils.errors import RecenterError
from recenter_utils.scales import ATTRIBUTE_QUALITY
from tests.workspaces import ROOT

LABELS = ATTRIBUTE_QUALITY.labels
TRUTH = ROOT / "data" / "demo" / "truth"
DEMO = simulation.annotators(TRUTH)
MATRIX = json.dumps(DEMO.annotators["simulated-1"].answers)


def items(count: int, pages: int = 20) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [f"i{n:05}" for n in range(count)],
            "page": [n * pages // max(count, 1) for n in range(count)],
            "label": [LABELS[n % 3] for n in range(count)],
        },
        schema={"item_id": pl.String, "page": pl.Int64, "label": pl.String},
    )


def test_answers_follow_the_planted_matrix() -> None:
    count = 6000
    known = items(count).with_columns(page=0)
    found = simulation.simulate(known, DEMO, 1).join(known.select("item_id", true="label"), on="item_id")
    for name, one in DEMO.annotators.items():
        own = found.filter(rater=name)
        assert own["flagged"].mean() == pytest.approx(one.flags, abs=4 * np.sqrt(one.flags / count) + 1e-9)
        assert own["seconds"].median() == pytest.approx(one.seconds, rel=0.1)
        for true in LABELS:
            part = own.filter(true=true)
            for label in LABELS:
                share = one.answers[true][label]
                noise = np.sqrt(share * (1 - share) / len(part))
                assert (part["label"] == label).mean() == pytest.approx(share, abs=4 * noise)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_changes_nothing(seed: int) -> None:
    known = items(90)
    assert_frame_equal(
        simulation.simulate(known, DEMO, seed),
        simulation.simulate(known.sample(fraction=1, shuffle=True, seed=seed), DEMO, seed),
    )


def test_no_answer_depends_on_other_items_or_other_annotators() -> None:
    known = items(90)
    every = simulation.simulate(known, DEMO, 7).select("item_id", "rater", "label", "flagged", "seconds")
    fewer = simulation.simulate(known[::3], DEMO, 7).select(every.columns)
    assert_frame_equal(fewer, every.filter(pl.col("item_id").is_in(known[::3]["item_id"].implode())))
    alone = DEMO.model_copy(update={"annotators": {"simulated-2": DEMO.annotators["simulated-2"]}})
    assert_frame_equal(simulation.simulate(known, alone, 7).select(every.columns), every.filter(rater="simulated-2"))
    other = simulation.simulate(known, DEMO, 8).select(every.columns)
    assert (other["label"] != every["label"]).any()


def test_those_of_the_pilot_judge_its_pages_alone() -> None:
    known = items(100, pages=20)
    found = simulation.simulate(known, DEMO, 1).join(known.select("item_id", "page"), on="item_id")
    last = dict(found.group_by("rater").agg(pl.col("page").max()).iter_rows())
    assert last == {"simulated-1": 19, "simulated-2": 19, "simulated-3": 19, "simulated-4": 9, "simulated-5": 9}


def test_each_annotator_works_page_by_page_from_the_start_on() -> None:
    found = simulation.simulate(items(60), DEMO, 1).join(items(60).select("item_id", "page"), on="item_id")
    for _, own in found.sort("answered_at").group_by("rater", maintain_order=True):
        assert own["page"].is_sorted()
        assert own["answered_at"].dt.timestamp("ms")[0] > DEMO.started.timestamp() * 1000
        waits = own["answered_at"].diff().dt.total_milliseconds()[1:] / 1000
        assert waits.to_list() == pytest.approx(own["seconds"][1:].to_list())


def test_items_without_a_known_truth_get_no_answer() -> None:
    known = items(10).with_columns(label=pl.when(pl.col("item_id") > "i00004").then("label"))
    assert simulation.simulate(known, DEMO, 1)["item_id"].min() == "i00005"
    assert simulation.simulate(items(0), DEMO, 1).is_empty()


def test_the_demos_three_annotators_agree_about_as_far_as_the_papers_did() -> None:
    """Expected Cohen's kappa from the matrices and the truth's labels; the paper has .314, and .35 in the pilot."""
    labels = simulation.truth(TRUTH)["label"]
    prior = np.array([(labels == label).mean() for label in LABELS])
    rows = {
        name: np.array([[one.answers[t][a] for a in LABELS] for t in LABELS]) for name, one in DEMO.annotators.items()
    }

    def kappa(one: str, other: str) -> float:
        joint = rows[one].T @ np.diag(prior) @ rows[other]
        chance = joint.sum(axis=1) @ joint.sum(axis=0)
        return float((np.trace(joint) - chance) / (1 - chance))

    pairs = [("simulated-1", "simulated-2"), ("simulated-1", "simulated-3"), ("simulated-2", "simulated-3")]
    assert all(0.28 < kappa(*pair) < 0.42 for pair in pairs)
    assert all(kappa(f"simulated-{n}", "simulated-5") < 0.1 for n in range(1, 5))
    assert prior @ rows["simulated-5"][:, LABELS.index("accepted")] > 0.85


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("annotators: {a: {answers: {accepted: {accepted: 1.0}}}}", "annotators.a: .*answers"),
        ("annotators: {a: {answers: {}, speed: 1}}", "annotators.a.speed"),
        ("annotators: {}", "annotators: "),
        (f"annotators: {{anna: {{answers: {MATRIX}}}}}", "annotators: .*'anna' must be called simulated-anna"),
        ("annotators: [", "not readable YAML"),
    ],
)
def test_faulty_annotators_are_refused_by_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "annotators.yaml").write_text(text)
    with pytest.raises(RecenterError, match=message):
        simulation.annotators(tmp_path)


def test_a_row_of_a_matrix_must_share_one(tmp_path: Path) -> None:
    row = {"rejected": 0.5, "uncertain": 0.3, "accepted": 0.3}
    whole = {"annotators": {"a": {"answers": dict.fromkeys(LABELS, row)}}}
    (tmp_path / "annotators.yaml").write_text(json.dumps(whole))
    with pytest.raises(RecenterError, match="must share 1"):
        simulation.annotators(tmp_path)


def test_a_truth_that_is_missing_or_mislabelled_is_refused(tmp_path: Path) -> None:
    for read in (simulation.annotators, simulation.truth):
        with pytest.raises(RecenterError, match="annotation.simulated in study.yaml"):
            read(tmp_path)
    (tmp_path / "attributes.jsonl").write_text('{"user_id": "u", "attribute": "a", "label": "fine"}\n')
    with pytest.raises(RecenterError, match="'fine' is no label"):
        simulation.truth(tmp_path)
