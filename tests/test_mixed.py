"""Mixed and ordered models: what statsmodels says, in closed form what the search finds, and intervals that hold."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy.stats import t
from statsmodels.miscmodels.ordinal_model import OrderedModel

from recenter_utils.stats import mixed, ordered
from recenter_utils.stats.mixed import RESIDUAL
from recenter_utils.stats.strata import STRATA, Balanced

VARIANCES = {"request": 0.1, "page": 0.15, "comparison": 0.05, "annotator": 0.06, "residual": 0.7}


def simulated(design: Balanced, variances: dict[str, float], studies: int, seed: int) -> np.ndarray:
    """Return ratings of shape (studies, requests · users, generators, comparisons, annotators) around 0."""
    rng = np.random.default_rng(seed)
    _, g, k, a, u = design
    r = design.requests * u
    shapes = {"request": (r, 1, 1, 1), "page": (r, g, 1, 1), "comparison": (r, g, k, 1), "annotator": (1, 1, 1, a)}
    shapes |= {"user": (r, 1, 1, 1)} if "user" in variances else {}
    shapes[RESIDUAL] = (r, g, k, a)
    drawn = {name: variances[name] ** 0.5 * rng.standard_normal((studies, *shape)) for name, shape in shapes.items()}
    drawn["request"] = drawn["request"][:, ::u].repeat(u, axis=1)
    parts = list(drawn.values())
    return np.asarray(sum(parts[1:], parts[0]))


def long(ratings: np.ndarray, users: int = 1) -> pd.DataFrame:
    """Return one study's ratings, shape (requests · users, generators, comparisons, annotators), as a row each."""
    r, g, k, a = (axis.ravel() for axis in np.indices(ratings.shape))
    return pd.DataFrame(
        {"y": ratings.ravel(), "request": r // users, "user": r, "generator": g, "page": r * 1000 + g, "annotator": a}
        | {"comparison": (r * 1000 + g) * 1000 + k}
    )


def fitted(rows: pd.DataFrame) -> mixed.Mixed:
    columns = {f"g{number}": rows["generator"] == number for number in sorted(rows["generator"].unique())}
    several = rows["user"].nunique() > rows["request"].nunique()
    nested = {name: rows[name] for name in ("request", *["user"] * several, "page", "comparison")}
    return mixed.fit(rows["y"], columns, nested, {"annotator": rows["annotator"]})


def with_holes(design: Balanced, variances: dict[str, float], seed: int) -> pd.DataFrame:
    rows = long(simulated(design, variances, 1, seed)[0])
    return rows[np.random.default_rng(seed).random(len(rows)) < 0.8].reset_index(drop=True)


def by_statsmodels(rows: pd.DataFrame) -> Any:
    """Return its fit, by its way of crossed effects: one group for all rows, a component for each factor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return smf.mixedlm(
            "y ~ 0 + C(generator)", rows, groups=np.ones(len(rows)),
            vc_formula={name: f"0 + C({name})" for name in ("annotator", "comparison", "page", "request")},
        ).fit(reml=True)  # fmt: skip


def test_estimates_errors_and_likelihood_are_statsmodels() -> None:
    large = {"request": 0.6, "page": 0.7, "comparison": 0.5, "annotator": 0.6, RESIDUAL: 0.5}
    rows = with_holes(Balanced(8, 3, 3, 4), large, 1)
    own, theirs = fitted(rows), by_statsmodels(rows)
    assert own.log_likelihood == pytest.approx(theirs.llf, abs=1e-4)
    known = dict(zip(theirs.model.exog_vc.names, theirs.vcomp, strict=True)) | {RESIDUAL: theirs.scale}
    for name, value in own.variances.items():
        assert value == pytest.approx(known[name], rel=0.01), name
    assert own.estimates == pytest.approx(theirs.fe_params.to_numpy(), abs=1e-3)
    assert np.sqrt(np.diag(own.covariance)) == pytest.approx(theirs.bse_fe.to_numpy(), rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_the_search_ends_no_lower_than_statsmodels_does(seed: int) -> None:
    """With small variances its own search often ends before the top; the likelihood where it ends is the same."""
    rows = with_holes(Balanced(5, 3, 3, 3), VARIANCES, seed)
    own, theirs = fitted(rows), by_statsmodels(rows)
    known = dict(zip(theirs.model.exog_vc.names, theirs.vcomp, strict=True)) | {RESIDUAL: theirs.scale}
    assert own.sums is not None
    assert own.sums.solved([known[name] for name in own.variances]).log_likelihood[0] == pytest.approx(theirs.llf)
    assert own.log_likelihood >= theirs.llf - 1e-6


def test_the_likelihood_is_that_of_the_whole_covariance_matrix() -> None:
    rows = long(simulated(Balanced(4, 2, 2, 3), VARIANCES, 1, 3)[0]).sample(frac=0.7, random_state=0)
    own = fitted(rows)
    assert own.sums is not None
    covariance = VARIANCES[RESIDUAL] * np.eye(len(rows))
    for name in ("request", "page", "comparison", "annotator"):
        covariance += VARIANCES[name] * (rows[name].to_numpy()[:, None] == rows[name].to_numpy())
    fixed = (rows["generator"].to_numpy()[:, None] == np.arange(2)).astype(float)
    inverse = np.linalg.inv(covariance)
    within = fixed.T @ inverse @ fixed
    left = rows["y"].to_numpy() - fixed @ np.linalg.solve(within, fixed.T @ inverse @ rows["y"].to_numpy())
    expected = -0.5 * (
        (len(rows) - 2) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + np.linalg.slogdet(within)[1]
        + left @ inverse @ left
    )  # fmt: skip
    found = own.sums.solved([VARIANCES[name] for name in own.variances])
    assert found.log_likelihood[0] == pytest.approx(expected)
    assert found.inverse[0] == pytest.approx(np.linalg.inv(within))


@pytest.mark.parametrize(
    "design",
    [
        Balanced(8, 3, 3, 3),
        Balanced(6, 1, 2, 3),
        Balanced(6, 3, 1, 3),
        Balanced(5, 4, 2, 2),
        Balanced(6, 3, 2, 3, users=2),
        Balanced(5, 2, 2, 2, users=3),
    ],
)
@pytest.mark.parametrize("there", [1.0, 0.0])
def test_balanced_designs_have_the_closed_form(design: Balanced, there: float) -> None:
    """Also where variances are estimated as 0, which those that are 0 mostly are."""
    planted = VARIANCES | {"user": 0.2} if design.users > 1 else VARIANCES
    variances = {name: value * (there or name == RESIDUAL) for name, value in planted.items()}
    studies = simulated(design, variances, 3, 1)
    fits = design.fitted(design.mean_squares(studies))
    for coefficients, weights in ((design.of_one, {"g0": 1.0}), (design.of_two, {"g0": 1.0, "g1": -1.0})):
        if len(weights) > design.generators:
            continue
        variance, freedom = design.spread(fits, coefficients)
        for study in range(len(studies)):
            found = fitted(long(studies[study], design.users)).combination(weights)
            assert found.error**2 == pytest.approx(variance[study], rel=2e-3)
            assert found.freedom == pytest.approx(freedom[study], rel=2e-3)


@pytest.mark.parametrize("users", [1, 2])
def test_mean_squares_are_scaled_chi_squares_around_their_expectations(users: int) -> None:
    design = Balanced(7, 3, 2, 4, users)
    planted = VARIANCES | ({"user": 0.1} if users > 1 else {})
    squares = design.mean_squares(simulated(design, planted, 4000, 0))
    there = design.freedoms > 0
    assert there.tolist() == [name != "U" or users > 1 for name in STRATA]
    squares, expected, freedoms = squares[:, there], design.expectations(planted)[there], design.freedoms[there]
    assert squares.mean(axis=0) == pytest.approx(expected, rel=0.06)
    assert squares.var(axis=0) == pytest.approx(2 * expected**2 / freedoms, rel=0.15)
    assert design.freedoms.sum() == design.ratings - design.generators
    whole = np.full((len(squares), len(STRATA)), np.nan)
    whole[:, there] = squares
    fits = design.fitted(whole)[:, there]
    assert (np.diff(fits[:, :-1], axis=1) >= -1e-9).all()
    assert (fits[:, -1] >= fits[:, 0] - 1e-9).all()
    ordered_already = (np.diff(squares[:, :-1], axis=1) >= 0).all(axis=1) & (squares[:, -1] >= squares[:, 0])
    assert ordered_already.sum() > 100
    assert fits[ordered_already] == pytest.approx(squares[ordered_already])


def test_intervals_of_means_and_differences_hold_the_truth_in_ninety_five_of_a_hundred() -> None:
    """Also with few annotators, where a normal interval would be too narrow."""
    design = Balanced(16, 5, 4, 4)
    studies = simulated(design, VARIANCES, 1500, 2)
    fits = design.fitted(design.mean_squares(studies))
    means = studies.mean(axis=(1, 3, 4))
    for coefficients, values in ((design.of_one, means[:, 0]), (design.of_two, means[:, 0] - means[:, 1])):
        variance, freedom = design.spread(fits, coefficients)
        held = np.abs(values) <= t.ppf(0.975, freedom) * np.sqrt(variance)
        assert held.mean() == pytest.approx(0.95, abs=0.025)
    variance, _ = design.spread(fits, design.of_one)
    assert (np.abs(means[:, 0]) <= 1.96 * np.sqrt(variance)).mean() < 0.935


def test_profiles_fall_short_by_the_limit_at_their_ends_and_hold_what_was_planted() -> None:
    rows = long(simulated(Balanced(20, 3, 3, 6), VARIANCES, 1, 5)[0])
    own = fitted(rows)
    assert own.sums is not None
    for name, planted in VARIANCES.items():
        found = own.deviation(name)
        assert found.low <= own.variances[name] ** 0.5 <= found.high
        assert found.low < planted**0.5 < found.high
    # An end of the interval is where the best likelihood with that deviation is 1.92 below the best of all.
    high, names = own.deviation("annotator").high, list(own.variances)
    grid = np.repeat(np.array([[own.variances[name] for name in names]]), 4000, axis=0)
    rng = np.random.default_rng(0)
    grid *= np.exp(0.15 * rng.standard_normal(grid.shape))
    grid[:, names.index("annotator")] = high**2
    assert own.sums.solved(grid).log_likelihood.max() == pytest.approx(own.log_likelihood - 1.92, abs=0.05)


def test_what_the_rows_say_nothing_of_is_left_out_with_the_reason() -> None:
    rows = long(simulated(Balanced(6, 2, 1, 1), VARIANCES, 1, 0)[0])
    found = fitted(rows)
    assert found.dropped["annotator"] == "there is only one"
    assert found.dropped["page"] == "each has one row, so that it is one with the residual"
    assert set(found.variances) == {"request", RESIDUAL}
    assert found.deviation("annotator").reason == "there is only one"
    alone = fitted(long(simulated(Balanced(6, 1, 2, 3), VARIANCES, 1, 0)[0]))
    assert alone.dropped == {"page": "one with 'request': both divide the rows alike"}
    rows = long(simulated(Balanced(6, 2, 2, 2), VARIANCES, 1, 0)[0])
    apart = fitted(rows[rows["generator"] == rows["annotator"]])
    assert apart.dropped["annotator"] == "one with the fixed effects"


@pytest.mark.parametrize(
    ("ratings", "why"),
    [
        (np.zeros((4, 2, 2, 3)), "all outcomes are the same"),
        (np.zeros((1, 2, 1, 1)), "2 rows do not determine 2 effects"),
        (np.arange(16.0).reshape(4, 2, 2, 1) * np.ones(3), "nothing is left to the residual"),
    ],
)
def test_a_model_that_cannot_be_fitted_says_why(ratings: np.ndarray, why: str) -> None:
    found = fitted(long(ratings))
    assert why in found.reason
    assert np.isnan(found.combination({"g0": 1.0}).value)
    assert found.deviation("page").reason
    same = mixed.fit([1.0, 2.0, 3.0], {"a": [1, 1, 1], "b": [2, 2, 2]}, {}, {})
    assert same.reason == "the effects cannot be told apart"


def test_a_group_in_two_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="'page' lies in several groups"):
        mixed.fit([1.0, 2.0, 4.0, 3.0], {"a": np.ones(4)}, {"request": [0, 0, 1, 1], "page": [0, 1, 0, 2]}, {})


# -- the ordered model ------------------------------------------------------------------------------------------------


def scale_rows(seed: int, size: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame({"generator": rng.integers(0, 3, size), "annotator": rng.integers(0, 2, size)})
    rows["cluster"] = rng.integers(0, 30, size)
    latent = 3 + 0.6 * rows["generator"] + 0.3 * rows["annotator"] + 0.4 * rng.standard_normal(30)[rows["cluster"]]
    rows["y"] = np.clip(np.rint(latent - 0.6 + rng.standard_normal(size)), 1, 5)
    return rows


def columns_of(rows: pd.DataFrame) -> dict[str, Any]:
    return {f"g{n}": rows["generator"] == n for n in (1, 2)} | {"a1": rows["annotator"] == 1}


def test_the_ordered_model_is_statsmodels_and_its_middle_is_where_both_sides_are_as_likely() -> None:
    rows = scale_rows(0)
    columns = columns_of(rows)
    found = ordered.fit(rows["y"], columns, rows["cluster"])
    answer = pd.Series(pd.Categorical(rows["y"], ordered=True))
    model = OrderedModel(answer, np.column_stack(list(columns.values())).astype(float), distr="logit")
    theirs = model.fit(method="bfgs", disp=False, cov_type="cluster", cov_kwds={"groups": rows["cluster"].to_numpy()})
    assert found.estimates[:3] == pytest.approx(theirs.params.to_numpy()[:3], abs=1e-3)
    assert found.estimates[3:] == pytest.approx(
        model.transform_threshold_params(theirs.params.to_numpy())[1:-1], abs=1e-3
    )
    assert np.sqrt(np.diag(found.covariance))[:3] == pytest.approx(theirs.bse.to_numpy()[:3], rel=0.01)
    apart = found.combination({"g2": 1, "g1": -1})
    assert apart.value == pytest.approx(float(theirs.params.iloc[1] - theirs.params.iloc[0]), abs=1e-3)
    assert apart.freedom == rows["cluster"].nunique() - 1
    level = found.combination({"g1": 1}, centre=3.0)
    odds = np.array([0, 1, 0, *np.zeros(len(found.ratings) - 1)])  # generator 1, annotator 0
    shift = found.estimates[0] - level.value
    assert odds.sum() == 1
    above = 1 / (1 + np.exp(found.estimates[3 + 2] - shift))  # rating above 3: the cut between 3 and 4
    below = 1 / (1 + np.exp(shift - found.estimates[3 + 1]))
    assert above == pytest.approx(below)


def test_robust_errors_are_those_of_many_studies_and_plain_ones_are_too_small() -> None:
    rng = np.random.default_rng(0)
    levels, robust, plain = [], [], []
    for _ in range(24):
        cluster = np.repeat(np.arange(30), 8)
        latent = 3 + 1.0 * rng.standard_normal(30)[cluster] + rng.standard_normal(len(cluster))
        ratings = np.clip(np.rint(latent), 1, 5)
        found = ordered.fit(ratings, {}, cluster).combination({}, centre=3.0)
        levels.append(found.value)
        robust.append(found.error)
        plain.append(ordered.fit(ratings, {}, np.arange(len(cluster))).combination({}, centre=3.0).error)
    assert np.mean(robust) == pytest.approx(np.std(levels), rel=0.3)
    assert np.mean(plain) < 0.7 * np.std(levels)


def test_an_ordered_model_that_cannot_be_fitted_says_why() -> None:
    rows = scale_rows(2)
    columns = columns_of(rows)
    same = ordered.fit(np.full(len(rows), 5.0), columns, rows["cluster"])
    assert same.reason == "all ratings are the same"
    assert np.isnan(same.combination({"g1": 1}).value)
    assert ordered.fit([], {}, []).reason == "there are no ratings"
    assert "one cluster" in ordered.fit(rows["y"], columns, np.zeros(len(rows))).reason
    assert "cannot be told apart" in ordered.fit(rows["y"], columns | {"twice": columns["g1"]}, rows["cluster"]).reason
    parted = np.where(rows["generator"] == 1, 5.0, np.clip(rows["y"], 1, 3))
    assert "no finite estimate" in ordered.fit(parted, columns, rows["cluster"]).reason
    high = ordered.fit(np.maximum(rows["y"], 3), columns, rows["cluster"])
    assert not high.reason
    assert np.isnan(high.combination({}, centre=3.0).value)
    assert np.isfinite(high.combination({"g1": 1}).value)


@pytest.mark.parametrize(("clusters", "sure"), [(4, False), (13, False), (14, True)])
def test_errors_take_two_clusters_for_each_number_and_below_that_only_the_estimate_is_given(
    clusters: int, sure: bool
) -> None:
    rows = scale_rows(2)
    columns = columns_of(rows)
    found = ordered.fit(rows["y"], columns, rows["cluster"] % clusters)
    one = found.combination({"g2": 1})
    assert one.value == pytest.approx(ordered.fit(rows["y"], columns, rows["cluster"]).combination({"g2": 1}).value)
    assert np.isfinite([one.low, one.high]).all() == sure
    said = f"{clusters} clusters are fewer than 2 for each of 7 numbers"
    assert found.unsure == ("" if sure else said)


def test_every_process_finds_the_same_bits() -> None:
    code = (
        "import numpy as np; from recenter_utils.stats.strata import Balanced;"
        "drawn = np.random.default_rng(1).chisquare(5, (4000, 6));"
        "print(Balanced(32, 5, 3, 10, 2).fitted(drawn).tobytes().hex())"
    )
    found = {
        subprocess.check_output([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed})
        for seed in "1234"
    }
    assert len(found) == 1
