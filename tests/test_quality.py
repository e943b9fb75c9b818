"""How personalised responses are rated: what was planted is found, single numbers are the libraries', none is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import cohen_kappa_score

from recenter_utils import figures, published
from recenter_utils.report import interval_of
from recenter_utils.responses import quality, ratings, verdicts
from recenter_utils.responses.ratings import ALL_ANNOTATORS, ALL_GENERATORS, Ratings
from recenter_utils.tables import check, table
from tests import planted_study
from tests.compared import (
    GENERATORS,
    JUDGES,
    PAGE,
    PEOPLE,
    Generator,
    Rater,
    comparisons_of,
    expected_rating,
    explicit_of,
    preferences_of,
)
from tests.planted_study import generation_of

LABELS = [1.0, 2.0, 3.0, 4.0, 5.0]

#: No generator, and so no page with two responses that are the same.
NONE = table("generation").empty()


def rated(
    instances: int = 16,
    seed: int = 0,
    raters: dict[str, Rater] | None = None,
    excluded: tuple[str, ...] = (),
    **more: Any,
) -> Ratings:
    """Return planted ratings; more: arguments of `comparisons_of`."""
    comparisons = comparisons_of(instances, seed, **more)
    explicit = explicit_of(comparisons, seed)
    judgments = preferences_of(comparisons, explicit, seed, PEOPLE | JUDGES if raters is None else raters)
    return ratings.read(judgments, comparisons, excluded)


def values(scores: pl.DataFrame, generator: str = ALL_GENERATORS) -> dict[tuple[str, str], dict[str, Any]]:
    rows = scores.filter(pl.col("generator") == generator).to_dicts()
    return {(row["rater"], row["statistic"]): row for row in rows}


def expected(rater: Rater, generator: Generator) -> float:
    """Return the mean rating of a planted rater for a planted generator, over mentions."""
    centre, deviation = (
        3 + rater.lean + rater.reads * generator.quality,
        float(np.hypot(rater.noise, rater.reads * PAGE)),
    )
    named = expected_rating(centre + rater.uplift, deviation)
    return generator.mentions * named + (1 - generator.mentions) * expected_rating(centre, deviation)


def of_people(generator: Generator) -> float:
    return float(np.mean([expected(rater, generator) for rater in PEOPLE.values()]))


# -- what was planted is found ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> list[pl.DataFrame]:
    """Scores of 32 planted studies of the paper's size or so: 24 requests, 120 pages."""
    return [quality.measure(rated(24, seed), draws=400, seed=seed) for seed in range(32)]


def held(many: list[pl.DataFrame], truths: dict[tuple[str, str, str], float], ends: str = "") -> float:
    """Return how often an interval holds what was planted. truths: by rater, generator and statistic."""
    hits = []
    for scores in many:
        known = {(row["rater"], row["generator"], row["statistic"]): row for row in scores.to_dicts()}
        hits += [known[key][f"low{ends}"] <= truth <= known[key][f"high{ends}"] for key, truth in truths.items()]
    return float(np.mean(hits))


def test_intervals_hold_the_planted_quality_of_generators(many: list[pl.DataFrame]) -> None:
    truths = {(ALL_ANNOTATORS, name, "mean"): of_people(one) for name, one in GENERATORS.items()}
    truths |= {
        (judge, name, "mean"): expected(own, one) for judge, own in JUDGES.items() for name, one in GENERATORS.items()
    }
    assert 0.9 <= held(many, truths) <= 0.98
    assert 0.9 <= held(many, truths, "_pages") <= 0.98


def test_intervals_hold_the_planted_inflation_of_judges(many: list[pl.DataFrame]) -> None:
    gaps = {
        (judge, name): expected(own, one) - of_people(one)
        for judge, own in JUDGES.items()
        for name, one in GENERATORS.items()
    }
    single = {(judge, name, "inflation"): gap for (judge, name), gap in gaps.items()}
    assert 0.9 <= held(many, single) <= 0.98
    over = {
        (judge, ALL_GENERATORS, "inflation"): float(np.mean([gaps[judge, name] for name in GENERATORS]))
        for judge in JUDGES
    }
    assert held(many, over) >= 0.9


def test_a_pooled_mean_varies_less_over_requests_which_keep_the_mix_of_generators(many: list[pl.DataFrame]) -> None:
    rows = [values(scores)[ALL_ANNOTATORS, "mean"] for scores in many]
    truth = float(np.mean([of_people(one) for one in GENERATORS.values()]))
    spread = np.std([row["value"] for row in rows])
    requests, pages = (np.mean([row[f"high{end}"] - row[f"low{end}"] for row in rows]) / 3.92 for end in ("", "_pages"))
    assert requests == pytest.approx(spread, rel=0.3)
    assert pages > 1.1 * requests
    assert held(many, {(ALL_ANNOTATORS, ALL_GENERATORS, "mean"): truth}) >= 0.9


def test_judges_that_see_less_of_quality_follow_people_less(many: list[pl.DataFrame]) -> None:
    means = {
        judge: np.mean([values(scores)[judge, "spearman"]["value"] for scores in many])
        for judge in ("plain", "constant")
    }
    yardstick = np.mean([values(scores)[ALL_ANNOTATORS, "spearman"]["value"] for scores in many])
    assert yardstick > means["plain"] > means["constant"] + 0.1


# -- single numbers are the libraries' ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def skipped() -> tuple[Ratings, pl.DataFrame]:
    """Ratings with holes, and their scores."""
    raters = {name: Rater(lean=one.lean, skips=0.4) for name, one in PEOPLE.items()}
    found = rated(8, 3, raters | {"judge": Rater("llm", lean=0.4, skips=0.1), "five": Rater("llm", lean=99)})
    return found, check("preference_scores", quality.measure(found, draws=50))


def test_means_and_shares_are_over_single_ratings_and_by_the_annotators_mean(
    skipped: tuple[Ratings, pl.DataFrame],
) -> None:
    found, scores = skipped
    people = found.of(found.people)
    known = values(scores)
    single = people[np.isfinite(people)]
    assert known[ALL_ANNOTATORS, "mean"]["value"] == pytest.approx(single.mean())
    assert known[ALL_ANNOTATORS, "no_better"]["value"] == pytest.approx((single <= 3).mean())
    by_mean = np.array([row[np.isfinite(row)].mean() for row in people if np.isfinite(row).any()])
    assert known[ALL_ANNOTATORS, "no_better_by_mean"]["value"] == pytest.approx((by_mean <= 3 + 1e-9).mean())
    assert known[ALL_ANNOTATORS, "mean"]["n_ratings"] == len(single)
    assert known[ALL_ANNOTATORS, "no_better_by_mean"]["n"] == len(by_mean) < len(people)
    assert known[ALL_ANNOTATORS, "mean"]["n_unanswered"] == len(people) - len(by_mean) > 0
    judge = found.numbers[:, found.raters.index("judge")]
    both = np.isfinite(judge) & np.isfinite(people).any(axis=1)
    gap = known["judge", "inflation"]
    assert gap["value"] == pytest.approx(np.mean(judge[both] - np.nanmean(people[both], axis=1)))
    assert gap["n"] == gap["n_ratings"] == both.sum()
    assert known["judge", "mean"]["n_unanswered"] == (~np.isfinite(judge)).sum() > 0
    generators = found.comparisons["generator"].to_numpy()
    for name in GENERATORS:
        own = people[generators == name]
        assert values(scores, name)[ALL_ANNOTATORS, "mean"]["value"] == pytest.approx(np.nanmean(own))


def test_correlations_are_scipys(skipped: tuple[Ratings, pl.DataFrame]) -> None:
    found, scores = skipped
    known = values(scores)
    judge = found.numbers[:, found.raters.index("judge")]
    assert known["judge", "spearman"]["value"] == pytest.approx(_spearman(judge, found.mean(found.people)))
    single = []
    for place in found.people:
        others = found.mean([other for other in found.people if other != place])
        single.append(_spearman(found.numbers[:, place], others))
        assert known[found.raters[place], "spearman"]["value"] == pytest.approx(single[-1])
    assert known[ALL_ANNOTATORS, "spearman"]["value"] == pytest.approx(np.mean(single))
    means = [found.mean([other for other in found.people if other != place]) for place in found.people]
    left_out = np.mean([_spearman(judge, mean) for mean in means])
    assert known["judge", "spearman_left_out"]["value"] == pytest.approx(left_out)
    assert known["judge", "spearman_left_out"]["low"] < left_out < known["judge", "spearman_left_out"]["high"]
    people = found.of(found.people).T
    pairs = [_spearman(people[a], people[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert known[ALL_ANNOTATORS, "spearman_pairs"]["value"] == pytest.approx(np.mean(pairs))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    both = np.isfinite(a) & np.isfinite(b)
    return float(spearmanr(a[both], b[both]).statistic)


@pytest.mark.parametrize("weights", ["linear", "quadratic"])
def test_weighted_kappas_are_scikit_learns_over_the_whole_scale(
    skipped: tuple[Ratings, pl.DataFrame], weights: str
) -> None:
    found, scores = skipped
    known = values(scores)

    def kappa(a: np.ndarray, b: np.ndarray) -> float:
        both = np.isfinite(a) & np.isfinite(b)
        return float(cohen_kappa_score(a[both], b[both], labels=LABELS, weights=weights))

    people = found.of(found.people).T
    judge = found.numbers[:, found.raters.index("judge")]
    expected_one = np.mean([kappa(judge, own) for own in people])
    assert known["judge", f"{weights}_kappa"]["value"] == pytest.approx(expected_one)
    first = np.mean([kappa(people[0], people[1]), kappa(people[0], people[2])])
    assert known[found.raters[0], f"{weights}_kappa"]["value"] == pytest.approx(first)
    mean = np.mean([kappa(people[a], people[b]) for a, b in ((0, 1), (0, 2), (1, 2))])
    assert known[ALL_ANNOTATORS, f"{weights}_kappa"]["value"] == pytest.approx(mean)


def test_published_counts_give_the_published_share_and_mean() -> None:
    shown = verdicts.reported_generators(published.read("figure-5"))
    whole = shown.filter(generator=ALL_GENERATORS).row(0, named=True)
    assert whole["no better by counts"] == whole["no better"] == "54.6%"
    assert whole["mean by counts"] == whole["mean"] == "3.176"
    assert shown["mean"].to_list() == shown["mean by counts"].to_list()
    single = shown.filter(pl.col("generator") != ALL_GENERATORS)
    assert single["comparisons"].sum() == whole["comparisons"] == 367
    assert single["ratings"].sum() == whole["ratings"] == 1101
    # No other number of ratings is 54.6% of them, and each mean is a whole number of points.
    assert [n for n in range(1102) if f"{n / 1101:.3f}" == "0.546"] == [601]
    numbers = published.read("figure-5")
    for item, mean in published.numbers(numbers, "mean").items():
        if item != ALL_GENERATORS:
            n = 3 * published.numbers(numbers, "n")[item]
            assert round(mean * n) == published.numbers(numbers, "sum")[item]
            assert f"{round(mean * n) / n:.3f}" == f"{mean:.3f}"
    judges = verdicts.reported_judges(published.read("table-6"))
    assert judges.filter(rater="Llama-3.3-70B")["less annotators"][0] == "+0.843"
    assert all(gap.startswith("+") for gap in judges["less annotators"].drop_nulls())


def test_identical_responses_are_counted_beside_and_as_3_in_a_share_of_their_own() -> None:
    """With as many ratings to each of their pages as the others have, the share is that of all ratings."""
    found = rated(8, most=1)
    people = found.of(found.people)
    scores = quality.measure(found, draws=50)
    generation = generation_of(found.comparisons, {"plain": 2, "reserved": 1})
    whole = (np.sum(people <= 3) + 3 * 3) / (people.size + 3 * 3)
    share = values(scores)[ALL_ANNOTATORS, "no_better"]
    known = verdicts.with_identical(interval_of(share), generation)
    assert known.value == pytest.approx(whole)
    assert share["low"] < known.low < known.value < known.high
    said = verdicts.sentence(scores, found, generation)
    assert "On 3 pages more both responses are the same text" in said
    assert f"the share no better is {whole:.1%} (95%" in said
    shown = verdicts.by_generator(scores, generation)
    cells = dict(shown.select("generator", "identical pages").iter_rows())
    assert cells["plain"] == 2
    assert cells["constant"] == 0
    own = people[found.comparisons["generator"].to_numpy() == "plain"]
    cell = shown.filter(generator="plain")["no better, identical ones as 3"].item()
    assert cell.startswith(f"{(np.sum(own <= 3) + 6) / (own.size + 6):.0%} (")


def test_a_judge_is_held_against_the_same_means_as_an_annotator() -> None:
    """A rater like the annotators is as good as one of them only by means that leave one out."""
    gaps = []
    for seed in range(12):
        found = rated(24, seed, PEOPLE | {"alike": Rater("llm", uplift=0.3)})
        known = values(quality.measure(found, draws=0))
        yardstick = known[ALL_ANNOTATORS, "spearman"]["value"]
        gaps.append([known["alike", name]["value"] - yardstick for name in ("spearman", "spearman_left_out")])
    biased, fair = np.mean(gaps, axis=0)
    error = np.std(gaps, axis=0)[1] / np.sqrt(len(gaps))
    assert abs(fair) < 2.5 * error
    assert biased > fair + 0.02


# -- what cannot be said ----------------------------------------------------------------------------------------------


def test_a_judge_that_always_says_5_has_no_correlation_and_a_kappa_of_0_by_construction(
    skipped: tuple[Ratings, pl.DataFrame],
) -> None:
    _, scores = skipped
    known = values(scores)
    assert known["five", "mean"]["value"] == 5
    assert known["five", "no_better"]["value"] == 0
    assert known["five", "spearman"]["value"] is None
    assert known["five", "spearman"]["reason"] == "a rater gave one answer only"
    for statistic in ("linear_kappa", "quadratic_kappa"):
        assert known["five", statistic]["value"] == 0
        assert "0 by construction" in known["five", statistic]["reason"]
    assert known["five", "inflation"]["low"] > 0
    shown = verdicts.raters(scores, {})
    assert "gave one answer only" in shown.filter(rater="five")["note"][0]
    figures.models_beside_annotators(scores.to_pandas(), {})


def test_a_single_annotator_has_ratings_but_no_agreement() -> None:
    found = rated(8, 0, {"simulated-1": PEOPLE["simulated-1"], "plain": JUDGES["plain"]})
    scores = check("preference_scores", quality.measure(found, draws=50))
    known = values(scores)
    for statistic in ("spearman", "spearman_pairs", "linear_kappa", "quadratic_kappa"):
        assert known[ALL_ANNOTATORS, statistic]["value"] is None
        assert "two" in known[ALL_ANNOTATORS, statistic]["reason"]
    assert known["plain", "spearman"]["value"] is not None
    assert known[ALL_ANNOTATORS, "mean"]["value"] == known["simulated-1", "mean"]["value"]
    assert "undefined (agreement needs two annotators)" in verdicts.judges_sentence(scores, found.kinds)


def test_without_annotators_the_page_says_what_models_say_and_no_more() -> None:
    found = rated(8, 0, JUDGES)
    scores = check("preference_scores", quality.measure(found, draws=50))
    known = values(scores)
    assert known[ALL_ANNOTATORS, "mean"]["value"] is None
    assert known[ALL_ANNOTATORS, "mean"]["reason"] == "nobody has rated these"
    assert known["plain", "inflation"]["reason"] == "no annotator to hold it against"
    assert known["plain", "linear_kappa"]["reason"] == "no annotator to hold it against"
    assert known["plain", "mean"]["value"] is not None
    assert verdicts.by_generator(scores, NONE).columns == ["generator", *sorted(JUDGES)]
    said = verdicts.sentence(scores, found, NONE, "demo")
    assert said.startswith("Of people nothing can be said")
    assert "'recenter annotate demo preference'" in said
    assert "(reserved) to" in said
    assert "cannot be held against annotators" in verdicts.judges_sentence(scores, found.kinds)
    figures.generator_ratings(scores.to_pandas(), "annotators")
    figures.models_beside_annotators(scores.to_pandas(), {})


def test_whom_the_study_file_excludes_changes_nothing_and_has_no_row() -> None:
    everybody, fewer = rated(6), rated(6, excluded=("simulated-2",))
    assert "simulated-2" not in fewer.raters
    assert len(fewer.people) == 2
    scores = quality.measure(fewer, draws=20)
    assert "simulated-2" not in set(scores["rater"])
    one, other = (values(quality.measure(found, draws=20))["simulated-1", "mean"] for found in (everybody, fewer))
    assert one == other


def test_a_generator_without_ratings_has_a_row_that_says_so() -> None:
    comparisons = comparisons_of(6, 0)
    judgments = preferences_of(comparisons, explicit_of(comparisons, 0), 0)
    lacking = comparisons.filter(generator="plain")["comparison_id"]
    found = ratings.read(judgments.filter(~pl.col("item_id").is_in(lacking.to_list())), comparisons)
    scores = check("preference_scores", quality.measure(found, draws=20))
    row = values(scores, "plain")[ALL_ANNOTATORS, "mean"]
    assert row["value"] is None
    assert row["n_unanswered"] == len(lacking)
    said = verdicts.sentence(scores, found, NONE)
    assert f"{len(lacking)} comparisons have no rating by an annotator who counts" in said
    assert "plain" not in said
    assert verdicts.by_generator(scores, NONE).filter(generator="plain")["against 3"][0] is None
    figures.generator_ratings(scores.to_pandas(), "annotators")


def test_no_comparisons_and_no_raters_give_empty_answers() -> None:
    nothing = ratings.read(
        preferences_of(comparisons_of(2), explicit_of(comparisons_of(2), 0), 0).clear(), comparisons_of(0)
    )
    scores = check("preference_scores", quality.measure(nothing, draws=20))
    assert scores["value"].null_count() == len(scores)
    assert verdicts.sentence(scores, nothing, NONE).endswith("this study compares none.")
    same = verdicts.sentence(scores, nothing, generation_of(nothing.comparisons, {"plain": 1}))
    assert same.endswith("On 1 page both responses are the same text, hence no better.")
    verdicts.by_generator(scores, NONE)
    figures.generator_ratings(scores.to_pandas(), "annotators")
    figures.models_beside_annotators(scores.to_pandas(), {})


BAD = {
    "one generator": ({}, {"plain": GENERATORS["plain"]}, 8),
    "a single annotator": ({"simulated-1": PEOPLE["simulated-1"], "five": Rater("llm", lean=99)}, GENERATORS, 8),
    "no annotators": (JUDGES, GENERATORS, 8),
    "annotators alone, who say 3": ({name: Rater(noise=0.01, reads=0) for name in PEOPLE}, GENERATORS, 8),
    "one attribute a page": ({}, GENERATORS, 1),
    "no comparisons": ({}, GENERATORS, 0),
}


@pytest.mark.parametrize("case", BAD)
def test_the_notebook_finishes_and_says_what_cannot_be_said(case: str, workspace: Path) -> None:
    raters, generators, most = BAD[case]
    comparisons = comparisons_of(6 if most else 0, 0, generators, max(most, 1))
    explicit = explicit_of(comparisons, 0, generators)
    judgments = preferences_of(comparisons, explicit, 0, raters or PEOPLE | JUDGES, generators)
    planted_study.planted(workspace, comparisons, judgments, explicit)
    said = planted_study.run(workspace, "21-personalisation-quality")
    expected_words = {
        "one generator": "there is only one generator",
        "a single annotator": "there is only one",
        "no annotators": "Of people nothing can be said",
        "annotators alone, who say 3": "all outcomes are the same",
        "one attribute a page": "one with &#x27;page&#x27;",
        "no comparisons": "this study compares none",
    }
    assert expected_words[case] in said
    assert said.count('class="claim"') == 3
    assert "PUBLISHED" in said
