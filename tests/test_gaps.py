"""What a mention is worth: the adjusted gap finds what was planted, the pooled one cannot, and what lacks is said."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import statsmodels.formula.api as smf
import yaml
from scipy.stats import t as student

from recenter_utils import figures, published
from recenter_utils.codebook.mentions import GAPS
from recenter_utils.responses import gap_summary
from recenter_utils.responses import gaps as measured
from recenter_utils.scales import ATTRIBUTE_QUALITY
from recenter_utils.stats import gaps
from recenter_utils.tables import check, table
from tests.compared import (
    GENERATORS,
    JUDGES,
    PAGE,
    PEOPLE,
    Rater,
    comparisons_of,
    expected_uplift,
    explicit_of,
    preferences_of,
)

EVERY, TOGETHER = measured.EVERY, measured.TOGETHER
NOBODY = table("preference_raters").empty()
LABELS = set(ATTRIBUTE_QUALITY.labels)
ALONE = {"only": GENERATORS["middling"]}


def mentions_of(explicit: pl.DataFrame, kind: str = "llm") -> pl.DataFrame:
    """Return the table `mentions` as one detector that makes no mistakes would."""
    rows = explicit.with_columns(detector=pl.lit(f"{kind} detector"), detector_kind=pl.lit(kind))
    return table("mentions").frame(rows.to_dicts())


class Planted:
    """A study with planted raters, whose gaps can be taken."""

    def __init__(
        self,
        seed: int = 1,
        instances: int = 16,
        raters: Mapping[str, Rater] = PEOPLE | JUDGES,
        explicit: Any = None,
        most: int = 8,
        **more: Any,
    ) -> None:
        self.comparisons = comparisons_of(instances, seed, most=most, **more)
        self.explicit = explicit_of(self.comparisons, seed, **more)
        if explicit is not None:
            self.explicit = self.explicit.with_columns(explicit=explicit)
        self.judgments = preferences_of(self.comparisons, self.explicit.fill_null(value=False), seed, raters, **more)
        self.mentions = mentions_of(self.explicit)
        self.rated = measured.rated(self.comparisons, self.mentions, self.judgments)

    def gap(self, rater: str, statistic: str = "adjusted", draws: int = 300) -> Any:
        return measured.gap(self.rated, self.rated.of(rater), statistic, draws=draws, seed=1)

    def table(self, draws: int = 100) -> pl.DataFrame:
        return check("mention_gaps", measured.measure(self.rated, NOBODY, draws=draws, seed=1))

    def truth(self, raters: Mapping[str, Rater]) -> float:
        """Return what the adjusted gap of these raters should be, with the weights that it gives generators."""
        counts = self.comparisons.join(self.explicit, on="comparison_id").group_by("generator")
        both = counts.agg(n=pl.col("explicit").sum(), m=(~pl.col("explicit")).sum())
        weights = {name: n * m / (n + m) for name, n, m in both.iter_rows()}
        return float(np.mean([expected_uplift(rater, weights=weights) for rater in raters.values()]))


def rows_of(found: pl.DataFrame, rater: str, generator: str = EVERY) -> dict[str, dict[str, Any]]:
    return {row["statistic"]: row for row in found.filter(rater=rater, generator=generator).to_dicts()}


# --- The arithmetic ---------------------------------------------------------------------------------------


def coefficient(ratings: pl.DataFrame, formula: str) -> float:
    """Return what statsmodels has; `own_...` is a column together with the rater."""
    columns = ("generator", "prompt_id", "page_id")
    own = [pl.concat_str(name, "rater").alias(f"own_{name}") for name in columns]
    known = ratings.drop_nulls("explicit").with_columns(pl.col("explicit").cast(pl.Int64), *own)
    frame = known.to_pandas()
    return float(smf.ols(f"score ~ explicit + {formula}", frame).fit().params["explicit"])


@pytest.mark.parametrize("rater", ["simulated-2", "reserved", "constant"])
def test_each_adjusted_gap_is_the_coefficient_of_least_squares_with_dummies(rater: str) -> None:
    study = Planted(raters=PEOPLE | {name: Rater("llm", 0.3, 0.5, skips=0.2) for name in ("reserved", "constant")})
    own = study.rated.of(rater)
    for statistic, formula in (
        ("pooled", "1"),
        ("adjusted", "C(generator)"),
        ("adjusted_request", "C(generator) + C(prompt_id)"),
        ("adjusted_page", "C(page_id)"),
    ):
        assert study.gap(rater, statistic, 0).value == pytest.approx(coefficient(own, formula)), statistic


def test_annotators_together_are_each_held_against_themselves() -> None:
    study = Planted(raters={name: Rater(lean=2 * n - 2, uplift=0.3, skips=0.3 * n) for n, name in enumerate(PEOPLE)})
    own = study.rated.of(TOGETHER)
    assert study.gap(TOGETHER, "adjusted", 0).value == pytest.approx(coefficient(own, "C(own_generator)"))
    assert study.gap(TOGETHER, "adjusted_page", 0).value == pytest.approx(coefficient(own, "C(own_page_id)"))
    formula = "C(generator) + C(own_prompt_id)"
    assert study.gap(TOGETHER, "adjusted_request", 0).value == pytest.approx(coefficient(own, formula))


def test_a_pooled_gap_is_the_mix_and_a_share_of_the_gap_within() -> None:
    study = Planted()
    for rater in (TOGETHER, "reserved"):
        pooled, mix, within = (study.gap(rater, name, 0).value for name in ("pooled", "mix", "adjusted"))
        by = study.rated.of(rater).group_by("generator").agg(pl.len(), pl.col("explicit").sum(), pl.col("score").mean())
        parts = gaps.parts_of(by["len"].to_numpy(), by["explicit"].to_numpy(), by["score"].to_numpy(), pooled)
        assert (parts.mix, parts.within) == (pytest.approx(mix), pytest.approx(within))
        assert pooled == pytest.approx(mix + parts.share * within)


def test_what_strata_s_means_alone_say_of_gaps_without_both_kinds_is_nothing() -> None:
    apart = gaps.parts_of([10, 10], [10, 0], [3.0, 4.0], -1.0)
    assert (apart.mix, apart.share) == (-1.0, 0.0)
    assert math.isnan(apart.within)
    assert math.isnan(gaps.parts_of([10, 10], [0, 0], [3.0, 4.0], 0.0).within)


def test_strata_of_single_clusters_cannot_lie_in_two() -> None:
    zero, one = np.zeros(4, dtype=np.int64), np.array([0, 0, 1, 1])
    with pytest.raises(ValueError, match="lies in two clusters"):
        gaps.nested(np.ones(4), np.array([True, False] * 2), zero, one, 2)


def test_a_resample_counts_a_request_as_often_as_it_is_drawn() -> None:
    study = Planted(instances=4)
    own = study.rated.of("plain")
    requests = own["prompt_id"].unique().sort()
    twice = pl.concat([own, own.filter(prompt_id=requests[0]).with_columns(prompt_id=pl.lit("again"))])
    twice = twice.with_columns(page_id=pl.concat_str("page_id", "prompt_id"))
    marked, values = own["explicit"].to_numpy(), own["score"].to_numpy()
    cluster = requests.search_sorted(own["prompt_id"]).to_numpy().astype(np.int64)
    stratum = own["generator"].rank("dense").to_numpy().astype(np.int64) - 1
    weights = np.array([[2.0, 1, 1, 1]])
    sums = gaps.crossed(values, marked, cluster, stratum, cluster, 4)
    found = gaps.partial(np.einsum("dc,cij->dij", weights, sums))[0]
    assert found == pytest.approx(coefficient(twice, "C(generator) + C(prompt_id)"))
    cells = gaps.cells(values, marked, stratum, cluster, 4)
    assert gaps.within(np.einsum("dc,csij->dsij", weights, cells))[0] == pytest.approx(
        coefficient(twice, "C(generator)")
    )


# --- The paper's numbers ------------------------------------------------------------------------------------


def test_the_published_gap_is_033_and_within_generators_about_217() -> None:
    rows = pl.concat([published.read("figure-5"), published.read("figure-6")])
    found = dict(gap_summary.published(rows)["gap", "value"].iter_rows())
    assert found["pooled"] == 0.033
    assert round(found["mix of generators alone"], 3) == -0.157
    assert round(found["adjusted"], 3) == 0.217


def test_the_published_mentions_add_up_and_are_what_the_rates_of_figure_7_give() -> None:
    six = published.read("figure-6")
    explicit = dict(six.filter(statistic="n_explicit", kind="llm")["item", "value"].iter_rows())
    n = dict(published.read("figure-5").filter(statistic="n", kind="llm")["item", "value"].iter_rows())
    rates = dict(published.read("figure-7").filter(statistic="rate")["item", "value"].iter_rows())
    assert sum(explicit.values()) == six.filter(item=EVERY, statistic="n_explicit")["value"].item()
    assert sum(n.values()) - sum(explicit.values()) == six.filter(statistic="n_other")["value"].item()
    assert {name: round(explicit[name] / n[name], 3) for name in n} == rates


# --- What was planted -------------------------------------------------------------------------------------

SEEDS = range(40)


@pytest.fixture(scope="module")
def drawn() -> dict[tuple[str, str], list[tuple[float, float, float, float]]]:
    """For each rater and gap: value, low, high and what was planted, a study a seed."""
    found: dict[tuple[str, str], list[tuple[float, float, float, float]]] = {}
    for seed in SEEDS:
        study = Planted(seed, instances=36)
        truths = {TOGETHER: study.truth(PEOPLE)} | {name: study.truth({name: one}) for name, one in JUDGES.items()}
        for rater, truth in truths.items():
            for statistic in ("pooled", "adjusted"):
                gap = measured.interval(study.gap(rater, statistic))
                found.setdefault((rater, statistic), []).append((gap.value, gap.low, gap.high, truth))
    return found


def held(found: list[tuple[float, float, float, float]]) -> float:
    return float(np.mean([low <= truth <= high for _, low, high, truth in found]))


def error(found: list[tuple[float, float, float, float]]) -> float:
    return float(np.mean([value - truth for value, *_, truth in found]))


def test_the_adjusted_gap_recovers_the_planted_uplift_of_people_and_of_judges(drawn: Any) -> None:
    assert held(drawn[TOGETHER, "adjusted"]) >= 0.9
    assert np.mean([held(drawn[name, "adjusted"]) for name in JUDGES]) >= 0.9
    for rater in (TOGETHER, *JUDGES):
        assert abs(error(drawn[rater, "adjusted"])) < 0.03, rater


def test_the_pooled_gap_is_below_what_was_planted_and_its_interval_seldom_holds_it(drawn: Any) -> None:
    assert error(drawn[TOGETHER, "pooled"]) < -0.25
    assert held(drawn[TOGETHER, "pooled"]) < 0.1
    # A judge that sees less of the responses' quality is misled less.
    for name, judge in JUDGES.items():
        assert error(drawn[name, "pooled"]) < -0.15 * judge.reads, name


def test_where_all_generators_are_alike_both_gaps_agree() -> None:
    same = dict.fromkeys(GENERATORS, GENERATORS["middling"])
    found = [Planted(seed, 24, PEOPLE, generators=same) for seed in range(10)]
    apart = [study.gap(TOGETHER, "pooled", 0).value - study.gap(TOGETHER, "adjusted", 0).value for study in found]
    assert np.abs(apart).max() < 0.05


def test_a_detector_that_errs_draws_the_gap_towards_none() -> None:
    study = Planted(instances=60)
    wrong = pl.Series(np.random.default_rng(0).random(len(study.explicit)) < 0.2)
    worse = mentions_of(study.explicit.with_columns(explicit=pl.col("explicit") ^ wrong))
    rated = measured.rated(study.comparisons, worse, study.judgments)
    found = measured.gap(rated, rated.of("constant"), "adjusted", draws=0).value
    assert 0 < found < 0.8 * study.gap("constant", "adjusted", 0).value


@pytest.mark.parametrize("requests", [12, 24])
def test_intervals_over_few_requests_hold_what_was_planted_as_often_as_they_say(requests: int) -> None:
    bare: list[bool] = []
    wider: list[bool] = []
    for seed in range(1000, 1110):
        study = Planted(seed, requests)
        truths = {TOGETHER: study.truth(PEOPLE)} | {name: study.truth({name: one}) for name, one in JUDGES.items()}
        for rater, truth in truths.items():
            drawn = study.gap(rater, draws=150)
            for held, found in ((bare, drawn.interval()), (wider, measured.interval(drawn))):
                held.append(found.low <= truth <= found.high)
    assert 0.92 <= np.mean(wider) <= 0.97
    if requests == 12:
        assert np.mean(bare) < 0.92  # what the widening is for


@pytest.mark.parametrize("k", [2, 5, 12, 200])
def test_the_ends_of_an_interval_go_as_far_as_those_of_a_mean_of_so_many_numbers(k: int) -> None:
    numbers = np.random.default_rng(k).standard_normal(k)
    spread = numbers.std() / np.sqrt(k)  # what a bootstrap's means spread by
    low, _ = student.interval(0.95, k - 1, numbers.mean(), numbers.std(ddof=1) / np.sqrt(k))
    assert numbers.mean() - 1.959964 * spread * gaps.reach(k) == pytest.approx(low, rel=1e-5)
    assert math.isnan(gaps.reach(1))
    assert gaps.reach(10**6) == pytest.approx(1, abs=1e-4)


def test_a_gap_rests_on_the_requests_whose_ratings_it_compares_and_on_no_others() -> None:
    study = Planted(instances=12)
    own = study.rated.of("plain").with_columns(
        explicit=pl.when(prompt_id=study.rated.requests[0]).then(pl.col("explicit")).otherwise(False)
    )
    pooled, within = (measured.gap(study.rated, own, name, draws=100) for name in ("pooled", "adjusted_page"))
    assert (pooled.clusters, within.clusters) == (12, 1)
    assert measured.interval(within).reason == "one cluster has no spread between clusters"
    assert math.isnan(measured.interval(within).low)


# --- The table --------------------------------------------------------------------------------------------


def test_the_table_has_annotators_together_first_then_each_then_models_and_counts_their_ratings() -> None:
    study = Planted()
    found = study.table()
    assert found["rater"].unique(maintain_order=True).to_list() == [TOGETHER, *PEOPLE, *sorted(JUDGES)]
    whole = rows_of(found, TOGETHER)
    assert list(whole) == list(GAPS)
    assert whole["pooled"]["n_ratings"] == 3 * len(study.comparisons) == whole["adjusted"]["n_within"]
    assert whole["pooled"]["n_explicit"] == 3 * study.explicit["explicit"].sum()
    assert 0 < whole["adjusted_page"]["n_within"] < whole["pooled"]["n_within"]
    assert set(found["rater_kind"]) == {"simulated", "llm"}
    single = found.filter(pl.col("generator") != EVERY)
    assert set(single["statistic"]) == {"pooled"}
    assert len(single) == (1 + len(PEOPLE) + len(JUDGES)) * len(GENERATORS)


def test_people_and_simulated_annotators_together_are_of_no_single_kind() -> None:
    raters = {"ann": Rater("human"), "simulated-1": Rater()}
    found = Planted(raters=raters).table()
    assert found["rater_kind"].to_list()[0] is None
    names = gap_summary.spoken(found, NOBODY)
    assert names == {"ann": "annotator A", "simulated-1": "simulated-1", TOGETHER: "annotators"}
    assert gap_summary.for_page(found, names)["rater"].to_list() == ["annotators", "annotator A", "simulated-1"]
    assert "ann " not in gap_summary.sentence(found, names)


def test_the_same_seed_gives_the_same_intervals_and_the_order_of_rows_does_not_matter() -> None:
    study = Planted(instances=8)
    one = study.table()
    study.rated = measured.rated(
        study.comparisons.sample(fraction=1, shuffle=True, seed=3).sort("generator", maintain_order=True),
        study.mentions.sample(fraction=1, shuffle=True, seed=4),
        study.judgments.sample(fraction=1, shuffle=True, seed=5),
    )
    key = ["rater", "generator", "statistic"]
    columns = ["value", "low", "high"]
    other = study.table().sort(key).select(columns).to_numpy()
    assert np.allclose(one.sort(key).select(columns).to_numpy(), other, equal_nan=True)


def test_thousands_of_resamples_take_well_under_a_second() -> None:
    study = Planted(instances=36)
    study.gap("plain")
    start = time.perf_counter()
    for statistic in GAPS:
        study.gap(TOGETHER, statistic, draws=2000)
    assert time.perf_counter() - start < 1


# --- What the study's truth has planted -----------------------------------------------------------------------


def truth_of(folder: Path, uplift: float = 0.3) -> Path:
    """Write a truth with the planted annotators, and return its folder."""
    answers = {label: {label: 1.0} | dict.fromkeys(LABELS - {label}, 0.0) for label in LABELS}
    rules = {
        name: {"answers": answers, "preference": {"lean": one.lean, "uplift": uplift, "noise": one.noise}}
        for name, one in PEOPLE.items()
    }
    qualities = {name: one.quality for name, one in GENERATORS.items()}
    said = {"qualities": qualities, "pages": PAGE, "annotators": rules}
    (folder / "annotators.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder


def test_a_page_shows_what_was_planted_for_simulated_annotators_and_for_nobody_else(tmp_path: Path) -> None:
    study = Planted(raters=PEOPLE | JUDGES)
    truths = gap_summary.planted(study.rated, truth_of(tmp_path))
    assert set(truths) == {TOGETHER, *PEOPLE}
    assert truths[TOGETHER] == pytest.approx(study.truth(PEOPLE))
    for name, one in PEOPLE.items():
        assert truths[name] == pytest.approx(study.truth({name: one}))
    found = study.table(50)
    shown = gap_summary.for_page(found, gap_summary.spoken(found, NOBODY), truths)
    assert shown["planted"].to_list()[:4] == [f"{truths[name]:+.2f}" for name in (TOGETHER, *PEOPLE)]
    assert shown["planted"].null_count() == len(JUDGES)
    assert "Planted:" in gap_summary.caption(truths)


def test_without_a_truth_no_page_speaks_of_one(tmp_path: Path) -> None:
    study = Planted(raters=PEOPLE | {"ann": Rater("human")}, instances=6)
    assert gap_summary.planted(study.rated, None) == {}
    found = study.table(50)
    assert "planted" not in gap_summary.for_page(found, gap_summary.spoken(found, NOBODY), {}).columns
    assert "Planted" not in gap_summary.caption({})
    # Nobody knows what a mention is worth to people, and so not to them together with simulated annotators.
    assert set(gap_summary.planted(study.rated, truth_of(tmp_path))) == set(PEOPLE)
    for named in (True, False):
        assert gap_summary.planted(Planted(explicit=named, instances=4).rated, truth_of(tmp_path)) == {}


# --- Where something is missing ---------------------------------------------------------------------------


def shown(found: pl.DataFrame) -> str:
    """Return the claim, after every table and figure of the page was made without a warning."""
    names = gap_summary.spoken(found, NOBODY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.mention_gaps(gap_summary.for_figure(found).to_pandas(), names).savefig("/dev/null", format="png")
    gap_summary.for_page(found, names)
    gap_summary.by_generator(found, names)
    return gap_summary.sentence(found, names)


@pytest.mark.parametrize(("named", "word"), [(True, "every"), (False, "no")])
def test_where_all_or_none_are_explicit_the_gap_is_undefined_and_says_so(named: bool, word: str) -> None:
    found = Planted(explicit=named, instances=6).table()
    why = f"{word} rated comparison has an explicit mention"
    assert found["value"].null_count() == len(found)
    assert set(found["reason"]) == {why}
    assert why in shown(found)
    assert "undefined for constant, frequent, middling, plain, reserved" in shown(found)


def test_a_generator_that_always_names_has_no_gap_of_its_own_and_the_others_make_the_adjusted_one() -> None:
    study = Planted(explicit=(pl.col("explicit") | pl.col("comparison_id").str.contains(r"^p\d{3}4")))
    found = study.table()
    always = rows_of(found, "plain", "constant")["pooled"]
    assert (always["value"], always["reason"]) == (None, "every rated comparison has an explicit mention")
    whole, n = rows_of(found, "plain"), len(study.comparisons)
    others = study.rated.of("plain").filter(pl.col("generator") != "constant")
    assert whole["adjusted"]["value"] == pytest.approx(coefficient(others, "C(generator)"))
    assert (whole["adjusted"]["n_within"], whole["pooled"]["n_within"]) == (len(others), n)
    assert shown(found)


def test_where_generators_alone_tell_mentions_apart_only_the_pooled_gap_is_left() -> None:
    sure = {"never": GENERATORS["reserved"], "always": GENERATORS["constant"]}
    found = Planted(generators=sure, explicit=pl.col("comparison_id").str.contains(r"^p\d{3}1"), raters=JUDGES).table()
    rows = rows_of(found, "plain")
    assert rows["pooled"]["value"] is not None
    assert rows["pooled"]["value"] == pytest.approx(rows["mix"]["value"])
    for statistic, why in (
        ("adjusted", "no generator has ratings both with and without a mention"),
        ("adjusted_page", "no response has ratings of attributes that it names and of others"),
        ("adjusted_request", "or generators tell the two apart"),
    ):
        assert rows[statistic]["value"] is None
        assert why in rows[statistic]["reason"]
    assert "undefined for constant, frequent, middling, plain, reserved" in shown(found)


def test_a_judge_that_always_says_5_has_a_gap_of_none_with_an_interval_of_none_and_a_note() -> None:
    study = Planted(raters=PEOPLE | {"fives": Rater("llm", lean=9)})
    found = study.table()
    for row in rows_of(found, "fives").values():
        assert (row["value"], row["low"], row["high"]) == (0, 0, 0)
        assert "all ratings are 5: a mention could not have moved them" in row["reason"]
    assert "not told from 0 for fives (+0.00)" in shown(found)


def test_unknown_mentions_are_on_neither_side_and_counted() -> None:
    lost = pl.Series(np.random.default_rng(2).random(len(comparisons_of(16, 1))) < 0.3)
    study = Planted(explicit=pl.when(lost).then(None).otherwise(pl.col("explicit")))
    found = rows_of(study.table(), "middling")["adjusted"]
    assert found["n_unknown"] == lost.sum() > 0
    assert found["n_ratings"] == len(study.comparisons) - lost.sum()
    known = study.rated.of("middling").drop_nulls("explicit")
    assert found["value"] == pytest.approx(coefficient(known, "C(generator)"))
    # A comparison without a row at all is unknown as well.
    fewer = measured.rated(study.comparisons, study.mentions.drop_nulls("explicit"), study.judgments)
    assert measured.gap(fewer, fewer.of("middling"), "adjusted", draws=0).value == pytest.approx(found["value"])
    nothing = Planted(explicit=pl.lit(None, pl.Boolean)).table()
    assert set(nothing["reason"]) == {"there is no rating of a response whose mention is known"}
    assert "undefined" in shown(nothing)


def test_gaps_go_by_the_model_and_by_the_words_only_where_no_model_was_asked() -> None:
    study = Planted(instances=6)
    contrary = mentions_of(study.explicit.with_columns(~pl.col("explicit")), "lexical")
    both = measured.rated(study.comparisons, pl.concat([contrary, study.mentions]), study.judgments)
    assert both.ratings.equals(study.rated.ratings)
    alone = measured.rated(study.comparisons, contrary, study.judgments)
    assert alone.ratings["explicit"].to_list() == [not one for one in study.rated.ratings["explicit"]]


@pytest.mark.parametrize(
    ("raters", "said"),
    [
        ({"simulated-1": Rater()}, "No model has judged one."),
        ({"ann": Rater("human")}, "by people against"),
        (JUDGES, "No annotator has rated a comparison. Models' gaps"),
        ({}, "nobody has rated a comparison"),
    ],
)
def test_a_single_annotator_none_and_no_judges_are_said(raters: dict[str, Rater], said: str) -> None:
    study = Planted(raters=raters | {"out": Rater()}, instances=6)
    study.rated = measured.rated(study.comparisons, study.mentions, study.judgments, ("out",))
    assert said in shown(study.table())


def test_a_missing_generator_a_single_one_and_one_request_still_have_gaps() -> None:
    fewer = {name: one for name, one in GENERATORS.items() if name != "plain"}
    assert set(Planted(generators=fewer).table()["generator"]) == {EVERY, *fewer}
    alone = rows_of(Planted(generators=ALONE).table(), TOGETHER)
    assert alone["adjusted"]["value"] == pytest.approx(alone["pooled"]["value"])
    assert alone["mix"]["value"] == pytest.approx(0)
    one = rows_of(Planted(instances=1, seed=2).table(), TOGETHER)["pooled"]
    assert one["value"] is not None
    assert (one["low"], one["reason"]) == (None, "one cluster has no spread between clusters")


def test_items_with_one_attribute_have_no_gap_within_responses() -> None:
    rows = rows_of(Planted(most=1, instances=40).table(), TOGETHER)
    assert rows["adjusted_page"]["value"] is None
    assert rows["adjusted"]["value"] is not None


def test_a_rater_who_was_asked_and_gave_nothing_usable_has_a_row_that_says_so() -> None:
    study = Planted(instances=6)
    silent = {"rater": "silent", "rater_kind": "llm", "n_comparisons": 9, "n_answered": 0, "excluded": False}
    raters = pl.DataFrame([silent, silent | {"rater": "out", "excluded": True}], strict=False)
    found = check("mention_gaps", measured.measure(study.rated, raters, draws=50))
    assert "out" not in set(found["rater"])
    assert rows_of(found, "silent")["pooled"]["reason"] == "there is no rating of a response whose mention is known"
    assert "silent" in shown(found)


def test_no_comparisons_at_all_are_an_empty_table_and_a_sentence() -> None:
    rated = measured.rated(
        table("comparisons").empty(), table("mentions").empty(), table("preference_judgments").empty()
    )
    found = check("mention_gaps", measured.measure(rated, NOBODY))
    assert found.is_empty()
    assert shown(found) == "Nothing can be said of what a mention is worth: nobody has rated a comparison."
