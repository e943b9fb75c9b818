"""Simulated annotators of relevance: what is planted follows from the truth, and the analyses find it again."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike
from polars.testing import assert_frame_equal

from recenter_utils.annotation import annotators, judgments, simulated_relevance, simulation
from recenter_utils.annotation.outliers import standing_apart
from recenter_utils.annotation.simulated_relevance import chances
from recenter_utils.annotation.simulation import Relevance
from recenter_utils.errors import RecenterError
from recenter_utils.scales import RELEVANCE
from recenter_utils.stats import agreement
from recenter_utils.stats.resampling import cluster_bootstrap
from tests.workspaces import ROOT

TRUTH = ROOT / "data" / "demo" / "truth"
DEMO = simulation.annotators(TRUTH)
RULES = {name: one.relevance for name, one in DEMO.annotators.items()}
COUNT = [name for name in RULES if name != "simulated-5"]


@cache
def demo_pairs() -> pl.DataFrame:
    """Each of the demo's requests with four users of the chat log, in turn, and all that was read about them."""
    read = simulated_relevance.truth(TRUTH)
    merged = pl.read_ndjson(TRUTH / "attributes.jsonl").select("user_id", "attribute")
    chat = merged.filter(pl.col("user_id").str.starts_with("chat/"))
    users = chat["user_id"].unique().sort()
    prompts = read["prompt_id"].unique().sort().to_list()
    asked = [(prompt, user, n) for n, prompt in enumerate(prompts) for user in users.gather_every(6, n % 6)[:4]]
    chosen = pl.DataFrame(asked, schema=["prompt_id", "user_id", "page"], orient="row")
    found = chosen.join(chat, on="user_id").join(read, on=["prompt_id", "attribute"], how="left")
    return found.with_columns(item_id=pl.format("{}/{}/{}", "prompt_id", "user_id", "attribute"))


def of(rater: str) -> pl.DataFrame:
    """The pairs that an annotator is asked about."""
    pilot = DEMO.annotators[rater].part == "pilot"
    return demo_pairs().filter(pl.col("page") < DEMO.pilot_pages) if pilot else demo_pairs()


def strengths(*raters: str) -> np.ndarray:
    """Of the pairs that all of these are asked about."""
    return min((of(rater)["strength"].to_numpy() for rater in raters), key=len)


@cache
def answered(seed: int) -> pl.DataFrame:
    return simulated_relevance.simulate(demo_pairs(), DEMO, seed)


def expected_rate(strengths: ArrayLike, rule: Relevance) -> float:
    """Return the share of yes that is expected of an annotator on items of these strengths, at least one."""
    return float(chances(strengths, rule).mean())


def expected_kappa(strengths: ArrayLike, one: Relevance, other: Relevance) -> float:
    """Return Cohen's kappa of the table of answers that is expected of two annotators on these items.

    NaN where both say one and the same to everything.
    """
    first, second = chances(strengths, one), chances(strengths, other)
    same = float((first * second + (1 - first) * (1 - second)).mean())
    by_chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    return (same - by_chance) / (1 - by_chance) if by_chance < 1 else float("nan")


def test_planted_yes_rates_lie_within_their_intervals() -> None:
    inside, off = [], []
    prompts = demo_pairs().select("item_id", "prompt_id")
    for seed in range(30):
        for (rater,), own in answered(seed).join(prompts, on="item_id").group_by("rater"):
            rate = cluster_bootstrap(own["label"] == "yes", own["prompt_id"], draws=500, seed=seed)
            planted = expected_rate(strengths(str(rater)), RULES[str(rater)])
            inside.append(rate.low <= planted <= rate.high)
            off.append(rate.value - planted)
    assert len(inside) == 30 * len(RULES)
    assert np.mean(inside) >= 0.9
    assert abs(np.mean(off)) < 0.005


def test_planted_agreement_lies_within_its_intervals() -> None:
    inside, off = [], []
    prompts = demo_pairs().select("item_id", "prompt_id")
    for seed in range(30):
        wide = annotators.wide(answered(seed))
        clusters = annotators.clusters_of(wide, prompts, "prompt_id")
        for row in agreement.pairwise(wide, RELEVANCE.labels, clusters=clusters, draws=500, seed=seed).itertuples():
            pair = row.rater_a, row.rater_b
            planted = expected_kappa(strengths(*pair), RULES[row.rater_a], RULES[row.rater_b])
            inside.append(row.low <= planted <= row.high)
            off.append(row.value - planted)
    assert len(inside) == 300
    assert np.mean(inside) >= 0.9
    assert abs(np.mean(off)) < 0.01


def test_the_pilot_shows_the_planted_outlier_and_nobody_else() -> None:
    prompts = demo_pairs().select("item_id", "prompt_id")
    pilot = demo_pairs().filter(pl.col("page") < DEMO.pilot_pages)["item_id"]
    for seed in range(30):
        wide = annotators.wide(answered(seed).filter(pl.col("item_id").is_in(pilot.implode())))
        kappas = agreement.pairwise(
            wide, RELEVANCE.labels, clusters=annotators.clusters_of(wide, prompts, "prompt_id"), draws=300, seed=seed
        )
        apart = standing_apart(wide, kappas, scale=RELEVANCE, draws=300, seed=seed)
        assert set(apart) == {"simulated-5"}, (seed, apart)
        assert "pairs shared with others" in apart["simulated-5"]
        assert "median kappa" in apart["simulated-5"]


def test_the_demos_annotators_say_yes_and_agree_about_as_the_papers_did() -> None:
    """§5: about 20% yes each, kappas from .41 to .44; the excluded one is far from both."""
    for name in COUNT:
        assert 0.14 < expected_rate(strengths(name), RULES[name]) < 0.26
        assert expected_kappa(strengths(name, "simulated-5"), RULES[name], RULES["simulated-5"]) < 0.15
    for one, other in combinations(COUNT, 2):
        assert 0.33 < expected_kappa(strengths(one, other), RULES[one], RULES[other]) < 0.5
    assert expected_rate(strengths("simulated-5"), RULES["simulated-5"]) > 0.6


def test_the_closed_forms_are_what_many_draws_come_to() -> None:
    values = np.repeat([0, 1, 2, 3], [500_000, 120_000, 120_000, 60_000])
    one, other = Relevance(threshold=1.4, noise=0.9), Relevance(threshold=0.3, noise=2.0)
    generator = np.random.default_rng(1)
    yes = [values + rule.noise * generator.standard_normal(len(values)) > rule.threshold for rule in (one, other)]
    assert yes[0].mean() == pytest.approx(expected_rate(values, one), abs=0.002)
    assert yes[1].mean() == pytest.approx(expected_rate(values, other), abs=0.002)
    kappa = agreement.cohen_kappa(yes[0], yes[1], [False, True]).value
    assert kappa == pytest.approx(expected_kappa(values, one, other), abs=0.003)
    assert chances([1.4], one).tolist() == [0.5]


def test_no_answer_depends_on_the_order_of_the_rows_or_on_other_items() -> None:
    mixed = demo_pairs().sample(fraction=1, shuffle=True, seed=1)
    assert_frame_equal(simulated_relevance.simulate(mixed, DEMO, 3), answered(3))
    columns = ["item_id", "rater", "label", "flagged", "seconds"]
    part = demo_pairs()[::5]
    fewer = simulated_relevance.simulate(part, DEMO, 3).select(columns)
    assert_frame_equal(fewer, answered(3).filter(pl.col("item_id").is_in(part["item_id"].implode())).select(columns))


def test_who_has_no_rule_for_relevance_and_what_has_no_strength_stay_without_an_answer() -> None:
    silent = DEMO.annotators["simulated-2"].model_copy(update={"relevance": None})
    who = DEMO.model_copy(update={"annotators": {"simulated-1": DEMO.annotators["simulated-1"], "simulated-2": silent}})
    some = demo_pairs().with_columns(strength=pl.when(pl.col("page") > 2).then("strength"))
    found = simulated_relevance.simulate(some, who, 1)
    assert set(found["rater"]) == {"simulated-1"}
    assert len(found) == some["strength"].count()


def test_times_and_flags_are_drawn_as_in_stage_1() -> None:
    for (name,), own in answered(5).group_by("rater"):
        assert own["seconds"].median() == pytest.approx(DEMO.annotators[str(name)].seconds, rel=0.2)
        assert own["flagged"].mean() == pytest.approx(DEMO.annotators[str(name)].flags, abs=0.02)


def write(folder: Path, *lines: str) -> Path:
    (folder / "relevance.jsonl").write_text("\n".join(lines))
    return folder


def test_all_that_the_file_names_was_read_and_no_line_means_no_effect(tmp_path: Path) -> None:
    found = simulated_relevance.truth(
        write(
            tmp_path,
            '{"prompt_id": "q1", "attribute": "Has a cat.", "strength": 3}',
            '{"prompt_id": null, "attribute": "Wants that.", "strength": 0}',
            '{"prompt_id": "q2", "attribute": "Is vegan.", "strength": 1}',
        )
    )
    assert {(p, a): s for p, a, s in found.rows()} == {
        ("q1", "Has a cat."): 3, ("q1", "Wants that."): 0, ("q1", "Is vegan."): 0,
        ("q2", "Has a cat."): 0, ("q2", "Wants that."): 0, ("q2", "Is vegan."): 1,
    }  # fmt: skip


def test_a_truth_without_relevance_knows_of_no_pair(tmp_path: Path) -> None:
    assert simulated_relevance.truth(tmp_path).is_empty()


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"prompt_id": "q1", "attribute": "a", "strength": 4}'], "a strength from 0 to 3"),
        (['{"prompt_id": null, "attribute": "a", "strength": 2}'], "a strength from 0 to 3"),
        (['{"prompt_id": "q1", "attribute": "a"}'], "a strength from 0 to 3"),
        (['{"prompt_id": "q1", "attribute": null, "strength": 1}'], "a strength from 0 to 3"),
        (['{"prompt_id": "q1", "attribute": "a", "strength": 1}'] * 2, "'q1', 'a'.* is there twice"),
        (['{"prompt_id": "q1", '], "cannot be read"),
    ],
)
def test_a_faulty_truth_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(RecenterError, match=message):
        simulated_relevance.truth(write(tmp_path, *lines))


def test_a_rule_needs_noise_above_zero(tmp_path: Path) -> None:
    text = (TRUTH / "annotators.yaml").read_text().replace("noise: 2.0", "noise: 0")
    (tmp_path / "annotators.yaml").write_text(text)
    with pytest.raises(RecenterError, match=r"annotators.simulated-5.relevance.noise"):
        simulation.annotators(tmp_path)


def test_simulated_answers_are_judgments_of_relevance() -> None:
    found = judgments._as_judgments(answered(1).with_columns(rater_kind=pl.lit("simulated")), "relevance")
    assert set(found["task"]) == {"relevance"}
    assert set(found.select("label", "score").unique().rows()) == {("yes", 1.0), ("no", 0.0)}
