"""Simulated annotators of stage 3: what is planted follows from the truth, and the analyses find it again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from recenter_utils.annotation import annotators, judgments, simulated_preference, simulation
from recenter_utils.annotation.outliers import standing_apart
from recenter_utils.errors import RecenterError
from recenter_utils.inference.models import load_models
from recenter_utils.scales import PREFERENCE
from recenter_utils.stats import agreement
from recenter_utils.stats.resampling import cluster_bootstrap
from tests.compared import Generator, comparisons_of, expected_rating, explicit_of
from tests.responded import worded_of
from tests.workspaces import ROOT

TRUTH = ROOT / "data" / "demo" / "truth"
DEMO = simulation.annotators(TRUTH)
RULES = {name: one.preference for name, one in DEMO.annotators.items() if one.preference}
COUNT = [name for name in RULES if name != "simulated-5"]

SEEDS = 12

#: The demo's generators, naming attributes as their dials have it.
GENERATORS = {
    name: Generator(quality, float(load_models()[name].options["mentions"])) for name, quality in DEMO.qualities.items()
}


def items_of(comparisons: pl.DataFrame, explicit: pl.DataFrame, seed: int = 0) -> pl.DataFrame:
    """Comparisons as `judgments.items_of` and `with_truth` give them, pages in a random order."""
    pages = comparisons["page_id"].unique().sort().shuffle(seed)
    place = pl.col("page_id").replace_strict({page: n for n, page in enumerate(pages)}, return_dtype=pl.Int64)
    known = comparisons.join(explicit, on="comparison_id", maintain_order="left")
    return known.select("page_id", "generator", "explicit", item_id="comparison_id", page=place)


@cache
def demo_items(seed: int = 0) -> pl.DataFrame:
    comparisons = comparisons_of(30, seed, GENERATORS)
    return items_of(comparisons, explicit_of(comparisons, seed, GENERATORS), seed)


@cache
def answered(seed: int) -> pl.DataFrame:
    found = simulated_preference.simulate(demo_items(seed), DEMO, seed)
    return found.join(demo_items(seed), on="item_id").with_columns(score=pl.col("label").cast(pl.Float64))


def expected(rater: str, generator: str, explicit: bool) -> float:
    rule = RULES[rater]
    assert rule
    centre = 3 + rule.lean + DEMO.qualities[generator] + rule.uplift * explicit
    return expected_rating(centre, float(np.hypot(rule.noise, DEMO.pages)))


# --- What is planted is found again -----------------------------------------------------------------------


def test_planted_means_lie_within_their_intervals() -> None:
    inside, off = [], []
    for seed in range(SEEDS):
        for (rater, generator), own in answered(seed).group_by("rater", "generator"):
            if rater not in COUNT:
                continue
            mean = cluster_bootstrap(own["score"], own["page_id"], draws=300, seed=seed)
            planted = np.mean([expected(str(rater), str(generator), named) for named in own["explicit"]])
            inside.append(mean.low <= planted <= mean.high)
            off.append(mean.value - planted)
    assert len(inside) == SEEDS * len(COUNT) * len(GENERATORS)
    assert np.mean(inside) >= 0.88
    assert abs(np.mean(off)) < 0.03


def test_within_a_generator_a_mention_lifts_ratings_and_pooled_it_seems_not_to() -> None:
    """The confound that is planted: those who name more are worth less."""
    within, pooled, wanted = [], [], []
    for seed in range(SEEDS):
        own = answered(seed).filter(pl.col("rater").is_in(COUNT))
        means = own.group_by("generator", "explicit").agg(pl.col("score").mean()).pivot("explicit", values="score")
        within.append(np.nanmean((means["true"] - means["false"]).to_numpy()))
        pooled.append(
            float(np.diff([own.filter(explicit=named)["score"].to_numpy().mean() for named in (False, True)])[0])
        )
        wanted.append(np.mean([expected(r, g, True) - expected(r, g, False) for r in COUNT for g in GENERATORS]))
    assert np.mean(within) == pytest.approx(np.mean(wanted), abs=0.06)
    assert np.mean(pooled) < np.mean(wanted) - 0.15


def test_the_planted_uplift_is_what_rounding_and_the_ends_of_the_scale_leave_of_it() -> None:
    for name, rule in RULES.items():
        assert rule
        for generator in GENERATORS:
            planted = simulated_preference.expected_uplift(rule, DEMO, generator)
            assert planted == pytest.approx(expected(name, generator, True) - expected(name, generator, False))
            assert 0 <= planted <= rule.uplift


def test_annotators_agree_about_as_the_papers_did() -> None:
    """§6.1: a mean Spearman correlation of .325, weighted kappa .310."""
    spearman, kappa = [], []
    for seed in range(SEEDS):
        own = answered(seed).filter(pl.col("rater").is_in(COUNT))
        overall = agreement.overall(annotators.wide(own), PREFERENCE.labels, measurement="ordinal", draws=0)
        values = dict(zip(overall["statistic"], overall["value"], strict=True))
        spearman.append(values["mean_spearman"])
        kappa.append(values["mean_quadratic_kappa"])
    assert 0.2 < np.mean(spearman) < 0.4
    assert 0.2 < np.mean(kappa) < 0.4


def test_the_one_who_rates_everything_5_stands_apart_and_nobody_else() -> None:
    for seed in range(10):
        wide = annotators.wide(answered(seed))
        clusters = annotators.clusters_of(wide, demo_items(seed), "page_id")
        kappas = agreement.pairwise(
            wide, PREFERENCE.labels, statistic=PREFERENCE.kappa, clusters=clusters, draws=300, seed=seed
        )
        apart = standing_apart(wide, kappas, scale=PREFERENCE, draws=300, seed=seed)
        assert set(apart) == {"simulated-5"}, (seed, apart)
        assert "answers 5 to 100% of the" in apart["simulated-5"]
        assert "comparisons shared with others" in apart["simulated-5"]


def test_what_a_page_shares_moves_all_annotators_alike() -> None:
    still = DEMO.model_copy(update={"pages": 0.0})
    alike = []
    for who in (DEMO, still):
        found = simulated_preference.simulate(demo_items(), who, 4).join(demo_items(), on="item_id")
        means = found.filter(pl.col("rater").is_in(COUNT)).group_by("page_id", "rater", "generator").agg(
            pl.col("label").cast(pl.Float64).mean()
        )  # fmt: skip
        rest = means.with_columns(pl.col("label") - pl.col("label").mean().over("generator", "rater"))
        wide = rest.pivot("rater", index="page_id", values="label")
        alike.append(np.corrcoef(wide.drop("page_id").to_numpy(), rowvar=False)[np.triu_indices(3, 1)].mean())
    assert alike[0] > alike[1] + 0.2


# --- How answers are drawn --------------------------------------------------------------------------------


def test_no_answer_depends_on_the_order_of_the_rows_or_on_other_items() -> None:
    every = simulated_preference.simulate(demo_items(), DEMO, 3)
    mixed = demo_items().sample(fraction=1, shuffle=True, seed=1)
    assert_frame_equal(simulated_preference.simulate(mixed, DEMO, 3), every)
    columns = ["item_id", "rater", "label", "flagged", "seconds", "first_shown"]
    part = demo_items()[::5]
    fewer = simulated_preference.simulate(part, DEMO, 3).select(columns)
    assert_frame_equal(fewer, every.filter(pl.col("item_id").is_in(part["item_id"].implode())).select(columns))


def test_the_order_is_one_a_page_half_and_half_and_decides_nothing() -> None:
    found = answered(1).filter(pl.col("rater").is_in(COUNT))
    orders = found.group_by("rater", "page_id").agg(pl.col("first_shown").unique())
    assert (orders["first_shown"].list.len() == 1).all()
    first = orders["first_shown"].list.first() == "generic"
    assert abs(float(first.mean()) - 0.5) < 4 * 0.5 / np.sqrt(len(first))  # type: ignore[arg-type]
    means = dict(found.group_by("first_shown").agg(pl.col("score").mean()).iter_rows())
    assert abs(means["generic"] - means["personalised"]) < 0.2


def test_who_has_no_rule_and_what_has_no_planted_quality_stay_without_an_answer() -> None:
    assert set(answered(0)["rater"]) == set(RULES)
    assert "simulated-4" not in RULES
    two = {"embedded-plain": Generator(), "somebody-else": Generator()}
    comparisons = comparisons_of(5, generators=two)
    items = items_of(comparisons, explicit_of(comparisons, 1, two))
    found = simulated_preference.simulate(items, DEMO, 1).join(items, on="item_id")
    assert set(found["generator"]) == {"embedded-plain"}
    assert simulated_preference.known(items, DEMO).sum() == (items["generator"] == "embedded-plain").sum()
    assert simulated_preference.simulate(items.clear(), DEMO, 1).is_empty()


def test_ratings_keep_to_the_scale_and_become_judgments() -> None:
    found = simulated_preference.simulate(demo_items(), DEMO, 1).with_columns(rater_kind=pl.lit("simulated"))
    kept = judgments._as_judgments(found, "preference")
    assert set(kept["label"]) == set(PREFERENCE.labels)
    assert kept["score"].to_list() == kept["label"].cast(pl.Float64).to_list()
    assert kept["first_shown"].to_list() == found["first_shown"].to_list()
    assert set(kept["task"]) == {"preference"}


def test_what_is_explicit_is_read_from_the_personalised_text() -> None:
    comparisons, _, responses, explicit = worded_of(6, seed=2)
    items = comparisons.select("page_id", item_id="comparison_id")
    found = simulated_preference.with_truth(items.reverse(), comparisons, responses)
    assert found["item_id"].to_list() == items["item_id"].to_list()[::-1]
    planted = explicit.rename({"comparison_id": "item_id"})
    assert found.join(planted, on="item_id", suffix="_planted").select(
        (pl.col("explicit") == pl.col("explicit_planted")).all()
    ).item()  # fmt: skip
    unknown = simulated_preference.with_truth(pl.DataFrame({"item_id": ["gone"]}), comparisons, responses)
    assert unknown.row(0) == ("gone", None, None)


# --- The file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "change", "said"),
    [
        (("annotators", "simulated-1", "preference"), {"lean": 0, "uplift": 0, "noise": 0}, "preference.noise"),
        (("annotators", "simulated-1", "preference"), {"lean": 0, "noise": 1}, "preference.uplift"),
        (("annotators", "simulated-1", "preference"), {"lean": 0, "uplift": 0, "noise": 1, "x": 1}, "preference.x"),
        (("qualities",), {"embedded-plain": "good"}, "qualities.embedded-plain"),
        (("pages",), -0.1, "pages"),
    ],
)
def test_a_faulty_truth_is_refused_by_its_key(
    tmp_path: Path, where: tuple[str, ...], change: object, said: str
) -> None:
    truth = yaml.safe_load((TRUTH / "annotators.yaml").read_text())
    part = truth
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = change
    (tmp_path / "annotators.yaml").write_text(yaml.safe_dump(truth))
    with pytest.raises(RecenterError, match=said):
        simulation.annotators(tmp_path)


def test_the_demo_plants_what_its_models_file_needs_it_to_hide() -> None:
    """Generators that name attributes more are worth less, and every generator of the study has a quality."""
    settings = yaml.safe_load((ROOT / "data" / "demo" / "study.yaml").read_text())
    assert set(settings["models"]["generators"]) == set(DEMO.qualities)
    by_mentions = sorted(GENERATORS, key=lambda name: GENERATORS[name].mentions)
    ranks = [sorted(GENERATORS, key=lambda name: -GENERATORS[name].quality).index(name) for name in by_mentions]
    assert np.corrcoef(ranks, range(len(ranks)))[0, 1] > 0.8
    assert {rule.uplift for name, rule in RULES.items() if name in COUNT} == {0.3}
