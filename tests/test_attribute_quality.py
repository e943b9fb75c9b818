"""Attribute quality: the planted gap between sources is found again, and studies without one say so."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recenter_utils import figures, tables
from recenter_utils.annotation import annotators
from recenter_utils.annotation.consensus import consensus
from recenter_utils.attributes import quality
from recenter_utils.stats.resampling import Interval
from tests.annotated import DEMO, demo_items, simulate

EXCLUDED = ("simulated-5",)
NAMES = {name: name for name in DEMO.annotators}
WHO = "4 simulated annotators"


@pytest.fixture(scope="module")
def items() -> pl.DataFrame:
    """The attributes of the demo's truth."""
    return demo_items()


def expected_gap(known: pl.DataFrame) -> float:
    """Return the gap that truth and matrices together plant in judgments of annotators who count."""
    rates: dict[str, list[tuple[float, int]]] = {"real": [], "synthetic": []}
    for kind in rates:
        for name, one in DEMO.annotators.items():
            seen = known.filter(kind=kind)
            if one.part == "pilot":
                seen = seen.filter(pl.col("page") < DEMO.pilot_pages)
            if name not in EXCLUDED:
                problems = sum(1 - one.answers[label]["accepted"] for label in seen["label"])
                rates[kind].append((problems, len(seen)))
    real, synthetic = (sum(p for p, _ in rates[kind]) / sum(n for _, n in rates[kind]) for kind in rates)
    return real - synthetic


def with_gap(known: pl.DataFrame) -> pl.DataFrame:
    """Plant the paper's gap: two thirds of the problems of synthetic sources are none."""
    spare = (pl.col("kind") == "synthetic") & (pl.int_range(pl.len()) % 3 > 0)
    return known.with_columns(label=pl.when(spare).then(pl.lit("accepted")).otherwise("label"))


@pytest.mark.parametrize("plant", [pl.DataFrame.clone, with_gap])
def test_the_planted_gap_is_within_its_interval(items: pl.DataFrame, plant) -> None:  # type: ignore[no-untyped-def]
    known = plant(items)
    wanted = expected_gap(known)
    inside, found = [], []
    for seed in range(40):
        kept = annotators.included(simulate(known, seed), EXCLUDED).join(known.drop("label"), on="item_id")
        gap = quality.gap(kept.with_columns((pl.col("label") != "accepted").alias("problematic")), 500, seed)
        inside.append(gap.low <= wanted <= gap.high)
        found.append(gap.value)
    assert np.mean(inside) >= 0.9
    assert np.mean(found) == pytest.approx(wanted, abs=0.02)


@pytest.fixture(scope="module")
def judged(items: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Every annotator's answers as `described` gives them, and the consensus."""
    answers = simulate(with_gap(items), 1)
    together = consensus(answers, items, EXCLUDED)
    return quality.described(answers, together), together


def test_a_gap_as_large_as_the_papers_is_told_from_none(judged: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    kept = annotators.included(judged[0], EXCLUDED)
    gap = quality.gap(kept, 2000, 1)
    assert gap.low > 0.05
    assert "none" not in quality.sentence(quality.by_group(kept, 200), gap, WHO)
    assert "may as well be none" in quality.sentence(quality.by_group(kept, 200), Interval(0.01, -0.1, 0.1), WHO)


def test_shares_are_those_of_the_judgments(judged: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    kept = annotators.included(judged[0], EXCLUDED)
    shares = tables.check("attribute_quality", quality.by_group(kept, 200))
    groups = set(shares["group"])
    assert groups == {"all real", "all synthetic", "chat", "cupid", "personalens", "prefeval"}
    for group in groups:
        part = kept.filter((pl.col("source") == group) | (pl.lit("all ") + pl.col("kind") == group))
        own = {row["label"]: row for row in shares.filter(group=group).to_dicts()}
        assert sum(own[label]["value"] for label in quality.LABELS) == pytest.approx(1)
        assert own["problematic"]["value"] == pytest.approx((part["label"] != "accepted").mean())
        assert own["rejected"]["n_judgments"] == len(part)
        assert own["rejected"]["n_users"] == part["user_id"].n_unique()
        assert all(row["low"] <= row["value"] <= row["high"] for row in own.values())


def test_other_choices_are_those_that_their_names_say(judged: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    every, together = judged
    found = {row["judged"]: row for row in quality.robustness(every, together, EXCLUDED, NAMES, 200).to_dicts()}
    assert len(found) == 8
    assert found["with simulated-5"]["judgments"] == len(every)
    assert found["without simulated-2"]["judgments"] == (~every["rater"].is_in(["simulated-2", "simulated-5"])).sum()
    once = found["each attribute once, by Dawid-Skene"]
    assert (once["judgments"], once["attributes"]) == (None, len(together))
    counting = found["by the annotators who count"]
    assert (counting["judgments"], counting["attributes"]) == (len(annotators.included(every, EXCLUDED)), len(together))
    for row in found.values():
        assert row["gap"] == pytest.approx(row["real"] - row["synthetic"])


def test_a_study_of_one_kind_has_shares_and_no_gap(judged: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    every, together = (table.filter(kind="real") for table in judged)
    gap = quality.gap(every, 200)
    assert np.isnan(gap.value)
    assert "because one of the two groups is empty" in quality.sentence(quality.by_group(every, 200), gap, WHO)
    rows = quality.robustness(every, together, EXCLUDED, NAMES, 200)
    assert rows["gap"].null_count() == len(rows)
    assert rows["reason"].null_count() == 0


def test_a_study_without_answers_is_undefined_and_does_not_fail(judged: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    every, together = (table.clear() for table in judged)
    shares = quality.by_group(every)
    assert shares.equals(tables.table("attribute_quality").empty())
    assert "undefined" in quality.sentence(shares, quality.gap(every), "nobody")
    assert quality.robustness(every, together, (), {})["gap"].to_list() == [None, None]


def test_figures_draw_whatever_there_is(judged: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    shares = quality.by_group(annotators.included(judged[0], EXCLUDED), 200)
    for kind, bars in ((None, 5), ("real", 1)):
        part = shares.filter(kind=kind) if kind else shares
        drawn = figures.attribute_quality(part.to_pandas())
        assert len(drawn.axes[0].get_yticklabels()) == bars
    empty = figures.attribute_quality(shares.clear().to_pandas())
    assert [text.get_text() for text in empty.axes[0].texts] == ["No answers yet."]


def alike(real: str, synthetic: str) -> pl.DataFrame:
    """Return judgments of five users a kind, all of them with one label."""
    rows = [
        (f"{kind}{n}", f"{kind}{n}#{m}", "ann", "human", label, kind, kind, label != "accepted")
        for kind, label in (("real", real), ("synthetic", synthetic))
        for n in range(5)
        for m in range(4)
    ]
    columns = ["user_id", "item_id", "rater", "rater_kind", "label", "source", "kind", "problematic"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_none_and_all_have_no_interval_that_would_look_certain() -> None:
    answers = alike("rejected", "accepted")
    shares = tables.check("attribute_quality", quality.by_group(answers, 200))
    assert set(shares["value"]) == {0.0, 1.0}
    assert shares["low"].null_count() == shares["high"].null_count() == len(shares)
    assert set(shares["reason"]) == {
        "none was seen: resampling cannot say how rare it is",
        "nothing else was seen: resampling cannot say how rare it is",
    }
    gap = quality.gap(answers, 200)
    assert gap.value == 1
    assert np.isnan([gap.low, gap.high]).all()
    assert gap.reason.startswith("nothing but problems was seen on real sources: resampling cannot say")
    assert "no interval" in quality.sentence(shares, gap, "1 person")
    bars = figures.attribute_quality(shares.to_pandas()).axes[0]
    (lines,) = bars.collections
    assert all(np.isnan(path.vertices).any() for path in lines.get_paths())


def test_a_gap_from_a_rate_of_nothing_has_no_interval_either() -> None:
    mixed = alike("rejected", "accepted").with_columns(
        problematic=pl.when(kind="real").then(pl.col("item_id").str.ends_with("#1")).otherwise("problematic")
    )
    gap = quality.gap(mixed, 200)
    assert gap.value == pytest.approx(0.25)
    assert np.isnan(gap.low)
    assert gap.reason.startswith("no problem was seen on synthetic sources")


def test_other_choices_call_people_as_the_page_does() -> None:
    said = pl.concat([alike("rejected", "accepted").with_columns(rater=pl.lit(who)) for who in ("anna@x.org", "ben")])
    names = {"anna@x.org": "annotator A", "ben": "annotator B", "checks-only": "annotator C"}
    once = said.unique("item_id").with_columns(dawid_skene=pl.lit(None, pl.String))
    found = quality.robustness(said, once, ("ben",), names, 50)["judged"].to_list()
    assert found[:2] == ["by the annotators who count", "with annotator B"]
    assert "without annotator A" in quality.robustness(said, once, (), names, 50)["judged"].to_list()
