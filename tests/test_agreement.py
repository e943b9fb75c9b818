"""Agreement: point values are those of the reference libraries, and undefined says why."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from itertools import combinations

import krippendorff
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as statsmodels_fleiss

from recenter_utils.stats.agreement import (
    MEASUREMENTS,
    PAIR_STATISTICS,
    cohen_kappa,
    fleiss_kappa,
    gwet_ac1,
    krippendorff_alpha,
    matrix,
    overall,
    pairwise,
    percent_agreement,
)

pytestmark = pytest.mark.filterwarnings("error")

LABELS = ["rejected", "uncertain", "accepted"]
NAN = float("nan")

#: Answers of two to five raters on up to twelve items, as places on a scale of four; -1 is no answer.
PANELS = st.tuples(st.integers(0, 12), st.integers(2, 5)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-1, 3))
)


def frame(codes: np.ndarray) -> pd.DataFrame:
    """Answers in words, as a pivot gives them: a column a rater, None for no answer."""
    words = np.array([*"abcd", None], dtype=object)
    return pd.DataFrame(words[codes], columns=[f"r{place}" for place in range(codes.shape[1])])


def quietly(function, *arguments, **options) -> float:
    """What a reference library says; NaN where it warns of dividing by zero or refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return float(function(*arguments, **options))
        except (ValueError, ZeroDivisionError):
            return NAN


def reference(statistic: str, a: np.ndarray, b: np.ndarray) -> float:
    if len(a) == 0:
        return NAN
    if statistic == "agreement":
        return float((a == b).mean())
    if statistic == "ac1":
        return plain_ac1(np.column_stack([a, b]), 4)
    if statistic in ("spearman", "pearson"):
        if len(a) < 2:
            return NAN
        return quietly(lambda: getattr(stats, f"{statistic}r")(a, b).statistic)
    weights = {"kappa": None, "linear_kappa": "linear", "quadratic_kappa": "quadratic"}[statistic]
    return quietly(cohen_kappa_score, a, b, weights=weights, labels=[0, 1, 2, 3])


def plain_ac1(codes: np.ndarray, labels: int) -> float:
    """Gwet's AC1 by its definition (2008, 2014), in fractions and loops; -1 is no answer."""
    said = [[int(code) for code in row if code >= 0] for row in codes]
    agreed = [
        Fraction(sum(x == y for x, y in combinations(row, 2)), math.comb(len(row), 2)) for row in said if len(row) > 1
    ]
    if not agreed:
        return NAN
    voters = [row for row in said if row]
    share = [sum(Fraction(row.count(k), len(row)) for row in voters) / len(voters) for k in range(labels)]
    chance = sum(p * (1 - p) for p in share) / (labels - 1)
    return float((sum(agreed) / len(agreed) - chance) / (1 - chance))


@pytest.mark.parametrize("statistic", PAIR_STATISTICS)
@settings(max_examples=150, deadline=None)
@given(codes=PANELS)
def test_every_pair_has_the_value_of_the_reference_library(statistic, codes):
    found = pairwise(frame(codes), list("abcd"), statistic=statistic, draws=0)
    pairs = list(combinations(range(codes.shape[1]), 2))
    assert list(zip(found["rater_a"], found["rater_b"], strict=True)) == [(f"r{a}", f"r{b}") for a, b in pairs]
    for row, (a, b) in zip(found.itertuples(), pairs, strict=True):
        both = (codes[:, a] >= 0) & (codes[:, b] >= 0)
        assert row.n == both.sum()
        assert row.value == pytest.approx(reference(statistic, codes[both, a], codes[both, b]), abs=1e-12, nan_ok=True)
        assert row.reason or not math.isnan(row.value)


@pytest.mark.parametrize("measurement", MEASUREMENTS)
@settings(max_examples=200, deadline=None)
@given(codes=PANELS)
def test_alpha_is_krippendorffs_with_missing_and_unequal_answers(measurement, codes):
    found = krippendorff_alpha(frame(codes), list("abcd"), measurement)
    data = np.where(codes < 0, np.nan, codes).T
    expected = quietly(krippendorff.alpha, data, value_domain=[0, 1, 2, 3], level_of_measurement=measurement)
    assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert found.reason or not math.isnan(found.value)


def test_alpha_of_numbers_takes_their_own_distances():
    data = np.array([[1, 2, 10, 4, NAN], [1, 2.5, 10, NAN, 2], [2, 2.5, 4, 4, 2]])
    wide = pd.DataFrame(data.T)
    for measurement in MEASUREMENTS:
        expected = krippendorff.alpha(data, level_of_measurement=measurement)
        assert krippendorff_alpha(wide, None, measurement).value == pytest.approx(expected)
    texts = wide.map(lambda number: None if math.isnan(number) else f"{number:g}")
    assert krippendorff_alpha(texts, ["1", "2", "2.5", "4", "10"], "interval").value == pytest.approx(
        krippendorff.alpha(data, level_of_measurement="interval")
    )


@settings(max_examples=200, deadline=None)
@given(codes=PANELS)
def test_fleiss_is_statsmodels_where_all_items_have_equally_many_answers(codes):
    complete = codes[(codes >= 0).all(axis=1)]
    found = fleiss_kappa(frame(complete), list("abcd"))
    expected = NAN
    if len(complete):
        expected = quietly(statsmodels_fleiss, aggregate_raters(complete, n_cat=4)[0])
    assert found.value == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert found.reason or not math.isnan(found.value)


@settings(max_examples=200, deadline=None)
@given(codes=PANELS)
def test_fleiss_of_unequal_numbers_follows_gwets_definition(codes):
    """By hand, in fractions: agreement over items with two answers or more, shares over all items."""
    said = [[int(code) for code in row if code >= 0] for row in codes]
    several, voters = [row for row in said if len(row) > 1], [row for row in said if row]
    found = fleiss_kappa(frame(codes), list("abcd"))
    share = [sum(Fraction(row.count(k), len(row)) for row in voters) / max(len(voters), 1) for k in range(4)]
    chance = sum(p * p for p in share)
    if not several or chance == 1:
        assert math.isnan(found.value)
        assert found.reason
        return
    pairs = [Fraction(sum(x == y for x, y in combinations(row, 2)), math.comb(len(row), 2)) for row in several]
    agreed = sum(pairs) / len(pairs)
    assert found.value == pytest.approx(float((agreed - chance) / (1 - chance)), abs=1e-12)
    assert percent_agreement(frame(codes), list("abcd")).value == pytest.approx(float(agreed))


@settings(max_examples=200, deadline=None)
@given(codes=PANELS)
def test_ac1_of_a_panel_is_its_definition(codes):
    found = gwet_ac1(frame(codes), list("abcd"))
    assert found.value == pytest.approx(plain_ac1(codes, 4), abs=1e-12, nan_ok=True)
    assert found.reason or not math.isnan(found.value)


def test_ac1_of_a_worked_example():
    """125 items: 118 yes and yes, 5 yes and no, 2 no and yes, none no and no.

    Agreement is 118 / 125 = .944. The raters say yes 123 and 120 times, a mean share of 243 / 250 = .972. Chance
    agreement is (.972 * .028 + .028 * .972) / (2 - 1) = .054432, and AC1 is (.944 - .054432) / (1 - .054432) =
    .889568 / .945568 = .940776. Kappa's chance agreement is .984 * .96 + .016 * .04 = .94528, so that kappa is
    (.944 - .94528) / (1 - .94528) = -.02339: the same answers look worse than chance.
    """
    wide = pd.DataFrame([("yes", "yes")] * 118 + [("yes", "no")] * 5 + [("no", "yes")] * 2, columns=["a", "b"])
    assert pairwise(wide, ["no", "yes"], statistic="ac1", draws=0)["value"][0] == pytest.approx(0.940776, abs=5e-7)
    assert gwet_ac1(wide, ["no", "yes"]).value == pytest.approx(0.940776, abs=5e-7)
    assert cohen_kappa(wide["a"], wide["b"], ["no", "yes"]).value == pytest.approx(-0.00128 / 0.05472)


def test_weighted_kappa_counts_labels_that_nobody_gave():
    """Between 1 and 5 lie three unused labels; over the labels in use alone the disagreement would be of one step."""
    a, b = [1, 1, 5, 5, 2, 1], [1, 5, 5, 1, 2, 2]
    for weights in ("linear", "quadratic"):
        expected = cohen_kappa_score(a, b, labels=[1, 2, 3, 4, 5], weights=weights)
        assert cohen_kappa(a, b, [1, 2, 3, 4, 5], weights).value == pytest.approx(expected)
        assert cohen_kappa(a, b, [1, 2, 5], weights).value != pytest.approx(expected)


def test_spearman_and_pearson_of_many_numbers_are_scipys():
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(size=(80, 3)) + 1e6, columns=list("abc"))
    wide["b"] += wide["a"]
    wide["c"] = wide["c"].round(1).where(rng.random(80) < 0.8)
    for statistic in ("spearman", "pearson"):
        found = pairwise(wide, None, statistic=statistic, draws=0)
        for row in found.itertuples():
            part = wide[[row.rater_a, row.rater_b]].dropna()
            expected = getattr(stats, f"{statistic}r")(*part.to_numpy().T).statistic
            assert row.value == pytest.approx(expected, abs=1e-9)
            assert row.n == len(part)


@pytest.mark.parametrize(
    ("a", "b", "statistic", "value", "reason"),
    [
        (["x", "x"], ["x", "x"], "kappa", NAN, "the same one label only"),
        (["x", "x"], ["x", "x"], "quadratic_kappa", NAN, "the same one label only"),
        (["x", "x", "x"], ["x", "y", "x"], "kappa", 0.0, "0 whatever the other one says"),
        (["x", "x"], ["y", "y"], "kappa", 0.0, "0 whatever the other one says"),
        (["x", "x", "x"], ["x", "y", "x"], "spearman", NAN, "one answer only"),
        (["x", "x", "x"], ["x", "y", "x"], "pearson", NAN, "one answer only"),
        (["x", None], ["x", "y"], "spearman", NAN, "one item"),
        (["x", None], [None, "y"], "kappa", NAN, "no item has an answer from both"),
        (["x", None], [None, "y"], "agreement", NAN, "no item has an answer from both"),
        (["x", None], [None, "y"], "ac1", NAN, "no item has an answer from both"),
        ([None, None], ["x", "y"], "pearson", NAN, "no item has an answer from both"),
        ([], [], "kappa", NAN, "no item has an answer from both"),
        (["x", "x"], ["x", "x"], "ac1", 1.0, None),
    ],
)
def test_degenerate_pairs_say_what_is_the_matter(a, b, statistic, value, reason):
    wide = pd.DataFrame({"a": pd.Series(a, dtype=object), "b": pd.Series(b, dtype=object)})
    row = pairwise(wide, ["x", "y"], statistic=statistic, draws=50).iloc[0]
    assert row["value"] == pytest.approx(value, nan_ok=True)
    if reason is None:
        assert row["reason"] is None
    else:
        assert reason in row["reason"]
    assert math.isnan(row["low"]) == math.isnan(value)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([], "no item has answers from two raters"),
        ([("accepted", None), (None, "rejected")], "no item has answers from two raters"),
        ([("accepted", "accepted")] * 3, "the same one label"),
    ],
)
def test_degenerate_panels_say_what_is_the_matter(rows, reason):
    wide = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    found = overall(wide, LABELS, draws=50).set_index("statistic")
    for statistic in ("fleiss_kappa", "krippendorff_alpha"):
        assert found["value"].isna()[statistic]
        assert reason in found["reason"][statistic]
    assert found["value"].isna()["mean_kappa"]
    assert found["reason"]["mean_kappa"]


@pytest.mark.parametrize("raters", [[], ["a"]])
def test_fewer_than_two_raters_have_no_agreement(raters):
    wide = pd.DataFrame({rater: ["accepted", "rejected"] for rater in raters})
    pairs, panel = pairwise(wide, LABELS), overall(wide, LABELS, draws=50)
    assert pairs.empty
    assert list(pairs.columns) == ["rater_a", "rater_b", "n", "value", "low", "high", "reason"]
    assert panel["value"].isna().all()
    assert (panel["reason"] == "agreement needs two raters").all()


def test_a_mean_of_kappas_leaves_out_the_pairs_without_one():
    wide = pd.DataFrame(
        {
            "a": ["accepted", "rejected", "accepted", "uncertain"],
            "b": ["accepted", "rejected", "rejected", "uncertain"],
            "c": [None, None, "accepted", None],
        }
    )
    pairs = pairwise(wide, LABELS, draws=0)
    row = overall(wide, LABELS, draws=0).set_index("statistic").loc["mean_kappa"]
    assert row["value"] == pytest.approx(pairs["value"].dropna().mean())
    assert "of 3 pairs are undefined and left out" in row["reason"]


def test_an_order_adds_weighted_kappas_and_spearman():
    codes = np.random.default_rng(3).integers(4, size=(40, 3))
    wide = frame(codes)
    found = overall(wide, list("abcd"), measurement="ordinal", draws=0).set_index("statistic")["value"]
    for statistic in ("kappa", "linear_kappa", "quadratic_kappa", "spearman"):
        pairs = pairwise(wide, list("abcd"), statistic=statistic, draws=0)
        assert found[f"mean_{statistic}"] == pytest.approx(pairs["value"].mean())
    assert "mean_spearman" not in set(overall(wide, list("abcd"), draws=0)["statistic"])


def test_a_matrix_is_symmetric_in_the_order_of_the_raters():
    wide = frame(np.random.default_rng(4).integers(4, size=(30, 4)))[["r2", "r0", "r3", "r1"]]
    table = pairwise(wide, list("abcd"), draws=0)
    square = matrix(table)
    assert list(square.index) == list(square.columns) == ["r2", "r0", "r3", "r1"]
    np.testing.assert_array_equal(square, square.T)
    np.testing.assert_array_equal(np.diag(square), 1)
    assert square.loc["r1", "r2"] == table.query("rater_a == 'r2' and rater_b == 'r1'")["value"].item()


def test_a_pivot_of_long_judgments_goes_in_and_a_polars_table_comes_out():
    long = pl.DataFrame(
        {
            "item_id": ["i1", "i1", "i2", "i2", "i3"],
            "rater": ["a", "b", "a", "b", "a"],
            "label": ["accepted", "accepted", "rejected", "rejected", "accepted"],
        }
    )
    wide = long.to_pandas().pivot(index="item_id", columns="rater", values="label")
    table = pl.from_pandas(pairwise(wide, LABELS, clusters=["u", "v", "v"], draws=100))
    assert table.select("rater_a", "rater_b", "n", "value").rows() == [("a", "b", 2, 1.0)]
    assert table.schema["reason"] == pl.String


def test_answers_off_the_scale_are_refused_with_how_many_and_which():
    wide = pd.DataFrame({"a": ["accepted", "yes", "yes"], "b": ["accepted", None, "rejected"]})
    with pytest.raises(ValueError, match="2 answers of 'a' are not on the scale, such as 'yes'"):
        pairwise(wide, LABELS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "kapa"}, "'kapa' is no statistic"),
        ({"clusters": ["u"]}, "1 clusters and 2 rows"),
        ({"clusters": ["u", None]}, "1 rows have no cluster"),
        ({"labels": [*LABELS, "accepted"]}, "a label stands twice"),
    ],
)
def test_faults_of_the_caller_are_raised(options, message):
    wide = pd.DataFrame({"a": ["accepted", "rejected"], "b": ["accepted", "rejected"]})
    with pytest.raises(ValueError, match=f"(?i){message}"):
        pairwise(wide, options.pop("labels", LABELS), **options)
