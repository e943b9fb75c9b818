"""What the demo plants in its judges and annotators is found again in texts that its own generators write."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from recenter_utils.annotation import simulated_preference, simulation
from recenter_utils.inference.models import load_models
from recenter_utils.inference.rules import RULES, Dials
from recenter_utils.inference.rules.knowledge import asked, known, request_text, statement_text
from recenter_utils.inference.rules.preference import REACH, Reading, read
from recenter_utils.responses import gap_summary, gaps, generator_judges
from recenter_utils.scales import PREFERENCE
from recenter_utils.settings import load
from recenter_utils.tables import table
from tests.workspaces import ROOT

DEMO = ROOT / "data" / "demo"
NAMES = load(DEMO / "study.yaml").models.generators
DIALS = {name: Dials.of(load_models()[name].options, name) for name in NAMES}
TRUTH = simulation.annotators(DEMO / "truth")
#: Those who count: the one who rates everything 5 is excluded by study.yaml.
OUT = ("simulated-5",)
SEEDS, INSTANCES = range(8), 26


def requests() -> dict[str, str]:
    return dict(pl.read_ndjson(DEMO / "prompts.jsonl").select("prompt_id", "text").iter_rows())


@cache
def instances() -> list[tuple[str, str, list[str]]]:
    """Each request with a user of the demo, and those of the user's attributes that bear on it."""
    held = pl.read_ndjson(DEMO / "truth" / "attributes.jsonl").select("user_id", "attribute").unique()
    bearing = pl.read_ndjson(DEMO / "truth" / "relevance.jsonl").filter(pl.col("strength") >= 2)
    pages = bearing.join(held, on="attribute").group_by("prompt_id", "user_id").agg(pl.col("attribute").sort())
    return list(pages.sort("prompt_id", "user_id").iter_rows())


def expected_rating(generic: Reading, personalised: Reading, dials: Dials) -> float:
    """Return a judge's expected rating of two responses over both orders.

    A rating is rounded up or down by lot, so that its mean is the number itself, held to the ends of the scale.
    """
    lean = REACH * (personalised.uptake - generic.uptake) + dials.mention_weight * (personalised.named - generic.named)
    lean += dials.generosity * np.sign(personalised.seen - generic.seen)
    middle = (PREFERENCE.lowest + int(PREFERENCE.labels[-1])) / 2
    places = middle + lean + np.array([dials.position, -dials.position])
    return float(np.clip(places, PREFERENCE.lowest, int(PREFERENCE.labels[-1])).mean())


def expected_uplift(generic: Reading, personalised: Reading, dials: Dials) -> float:
    """Return what naming the attribute adds to a judge's expected rating of this very response.

    More than the dial: a response that only names an attribute shows it, which generosity pays for as well.
    """
    named, silent = (personalised._replace(named=one) for one in (True, False))
    return expected_rating(generic, named, dials) - expected_rating(generic, silent, dials)


class Written(NamedTuple):
    """A study of the demo's texts: its comparisons, mentions and ratings, and each judge's uplift by comparison."""

    comparisons: pl.DataFrame
    mentions: pl.DataFrame
    rated: gaps.Rated
    uplifts: dict[str, dict[str, float]]

    def truth(self, judge: str) -> float:
        """Return the mean uplift of a judge, generators weighed as the adjusted gap weighs them."""
        means, weights = [], []
        for _, own in self.rated.of(judge).group_by("generator"):
            named = int(own["explicit"].sum())
            means.append(np.mean([self.uplifts[judge][name] for name in own["comparison_id"]]))
            weights.append(named * (len(own) - named) / len(own))
        return float(np.average(means, weights=weights))

    def gap(self, rater: str, statistic: str) -> gaps.Interval:
        drawn = gaps.gap(self.rated, self.rated.of(rater), statistic, draws=300, seed=1)
        return gaps.interval(drawn)


def written(seed: int) -> Written:
    """Have the demo's generators answer, its judges rate and its annotators be simulated, with the lots of a seed.

    Lots are of the request's words, so that a seed adds a number to each.
    """
    rng, texts = random.Random(seed), requests()
    compared, mentions, judged, uplifts = [], [], [], defaultdict(dict)  # type: ignore[var-annotated]
    for prompt_id, user, attributes in rng.sample(instances(), INSTANCES):
        prompt = f"{texts[prompt_id]} {seed}"
        request, given = asked(request_text(prompt)), [{"attribute": words} for words in attributes]
        for generator, own in DIALS.items():
            generic = str(RULES["generic_response"]({"prompt": prompt}, own))
            personalised = str(RULES["personalised_response"]({"prompt": prompt, "attributes": given}, own))
            page = f"{prompt_id}/{user}/{generator}"
            for attribute in attributes:
                statement = known(statement_text(attribute))
                sides = read(generic, personalised, request, statement), read(personalised, generic, request, statement)
                name = f"{page}/{attribute}"
                compared.append(
                    {"comparison_id": name, "page_id": page, "prompt_id": prompt_id, "user_id": user}
                    | {"generator": generator, "attribute_id": attribute, "attribute": attribute}
                    | {"generic_id": page + "/generic", "personalised_id": page}
                )
                mentions.append(
                    {"comparison_id": name, "detector": "words", "detector_kind": "llm", "explicit": sides[1].named}
                )
                for judge, dials in DIALS.items():
                    uplifts[judge][name] = expected_uplift(*sides, dials)
                    judged.append(judgment(name, judge, rate(prompt, attribute, generic, personalised, dials, rng)))
    comparisons, found = table("comparisons").frame(compared), table("mentions").frame(mentions)
    every = judged + annotated(comparisons, found, seed)
    judgments = table("preference_judgments").frame(every)
    return Written(comparisons, found, gaps.rated(comparisons, found, judgments, OUT), uplifts)


def rate(prompt: str, attribute: str, generic: str, personalised: str, dials: Dials, rng: random.Random) -> int:
    """Return a judge's rating, recoded, with the order drawn."""
    turned = rng.random() < 0.5
    first, second = (personalised, generic) if turned else (generic, personalised)
    slots = {"prompt": prompt, "attribute": attribute, "response_a": first, "response_b": second}
    said = int(RULES["preference"](slots, dials)["rating"])  # type: ignore[call-overload, index]
    return 6 - said if turned else said


def judgment(item: str, rater: str, score: int, kind: str = "llm") -> dict[str, Any]:
    return {"item_id": item, "task": "preference", "rater": rater, "rater_kind": kind, "label": str(score)} | {
        "score": float(score),
        "flagged": False,
    }


def annotated(comparisons: pl.DataFrame, mentions: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    """Return what the demo's annotators answer."""
    truth = mentions.select("comparison_id", "explicit")
    items = comparisons.join(truth, on="comparison_id", maintain_order="left")
    items = items.select(
        "page_id", "generator", "explicit", item_id="comparison_id", page=pl.col("page_id").rank("dense").cast(pl.Int64)
    )
    said = simulated_preference.simulate(items, TRUTH, seed).select("item_id", "rater", "label")
    return [judgment(item, rater, int(label), "simulated") for item, rater, label in said.iter_rows()]


@pytest.fixture(scope="module")
def studies() -> list[Written]:
    return [written(seed) for seed in SEEDS]


def test_a_judge_s_gap_within_generators_is_what_its_dials_make_of_a_mention(studies: list[Written]) -> None:
    held, off = [], defaultdict(list)
    for study in studies:
        for judge in DIALS:
            found, truth = study.gap(judge, "adjusted"), study.truth(judge)
            held.append(found.low <= truth <= found.high)
            off[judge].append(found.value - truth)
    assert np.mean(held) >= 0.85
    means = {judge: float(np.mean(values)) for judge, values in off.items()}
    assert max(map(abs, means.values())) < 0.12, means
    assert abs(np.mean(list(means.values()))) < 0.06, means


def test_a_mention_is_worth_more_than_its_weight_where_generosity_pays_for_it_too(studies: list[Written]) -> None:
    truths = {judge: np.mean([study.truth(judge) for study in studies]) for judge in DIALS}
    for judge, truth in truths.items():
        weight, generosity = DIALS[judge].mention_weight, DIALS[judge].generosity
        assert min(0, weight) < truth < weight + generosity, judge
    plain, bare = DIALS["embedded-plain"], Reading(0.0, False)
    assert expected_uplift(bare, bare, plain) == pytest.approx(plain.mention_weight + plain.generosity)
    assert expected_uplift(bare, Reading(0.6, True), plain) == pytest.approx(plain.mention_weight)
    full = Dials(mention_weight=0.9, generosity=0.9)
    assert expected_uplift(bare, Reading(1.0, True), full) == pytest.approx(0.1)  # the end of the scale


def test_annotators_gap_within_generators_is_the_planted_one_and_the_pooled_one_is_not(studies: list[Written]) -> None:
    held, off = defaultdict(list), defaultdict(list)
    for study in studies:
        truth = gap_summary.planted(study.rated, DEMO / "truth")[gaps.TOGETHER]
        assert 0.25 < truth < 0.3
        for statistic in ("adjusted", "pooled"):
            found = study.gap(gaps.TOGETHER, statistic)
            held[statistic].append(found.low <= truth <= found.high)
            off[statistic].append(found.value - truth)
    assert np.mean(held["adjusted"]) >= 0.85
    assert abs(np.mean(off["adjusted"])) < 0.06
    assert np.mean(off["pooled"]) < -0.15
    assert np.mean(held["pooled"]) < 0.5


def test_the_planted_order_of_generators_and_of_judges_is_found_again(studies: list[Written]) -> None:
    correlations = []
    for study in studies:
        made = generator_judges.points(study.comparisons, study.mentions, study.rated, draws=0)
        found = generator_judges.correlations(made).filter(statistic="adjusted")
        correlations.append(found["value"].item())
    planted = generator_judges.correlation(
        [one.mentions for one in DIALS.values()], [one.mention_weight for one in DIALS.values()]
    )
    assert np.mean(correlations) == pytest.approx(planted["value"], abs=0.1)
    assert min(correlations) >= 0.7
