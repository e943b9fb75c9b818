"""The mixed model of ratings, beside statsmodels' and a QR decomposition of the same columns.

`python -m tests.benchmarks.mixed [--ratings 960]`
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.formula.api as smf

from recenter_utils.stats import mixed
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "mixed model", "ratings"
SIZES = {"small": (48, 96, 144), "full": (96, 192, 384)}

GENERATORS, COMPARISONS, ANNOTATORS = 4, 2, 3


def ratings(number: int) -> pd.DataFrame:
    """Return so many ratings, or up to a request more, with a random intercept for each of four factors."""
    shape = (-(-number // (GENERATORS * COMPARISONS * ANNOTATORS)), GENERATORS, COMPARISONS, ANNOTATORS)
    rng = np.random.default_rng(5)
    of_request, of_annotator = rng.standard_normal(shape[0]), rng.standard_normal(ANNOTATORS)
    of_page, of_comparison = rng.standard_normal(shape[:2]), rng.standard_normal(shape[:3])
    request, generator, comparison, annotator = (axis.ravel() for axis in np.indices(shape))
    y = 0.8 * of_request[request] + 0.7 * of_page[request, generator] + 0.6 * of_annotator[annotator]
    y += 0.5 * of_comparison[request, generator, comparison] + 0.6 * rng.standard_normal(len(request))
    page = request * 1000 + generator
    return pd.DataFrame(
        {"y": y, "generator": generator, "request": request, "page": page, "comparison": page * 1000 + comparison}
        | {"annotator": annotator}
    )


def ours(rows: pd.DataFrame) -> mixed.Mixed:
    columns = {f"g{number}": rows["generator"] == number for number in range(GENERATORS)}
    nested = {name: rows[name] for name in ("request", "page", "comparison")}
    return mixed.fit(rows["y"], columns, nested, {"annotator": rows["annotator"]})


def by_statsmodels(rows: pd.DataFrame) -> Any:
    """Return its fit, by its way of crossed effects: one group for all rows, a component for each factor."""
    factors = ("annotator", "comparison", "page", "request")
    with warnings.catch_warnings(action="ignore"):
        return smf.mixedlm(
            "y ~ 0 + C(generator)", rows, groups=np.ones(len(rows)), vc_formula={f: f"0 + C({f})" for f in factors}
        ).fit(reml=True)


def measure(size: int) -> Row:
    rows = ratings(size)
    codes = [np.eye(rows[name].nunique())[rows[name].rank(method="dense").astype(int) - 1] for name in rows.columns[1:]]
    matrix = np.column_stack([*codes, rows["y"]])
    found, theirs = ours(rows), []

    def instead() -> None:
        theirs.append(by_statsmodels(rows).llf)

    row = compare(
        PART, size, UNIT, lambda: ours(rows), Way("statsmodels' MixedLM", instead),
        Way("one QR of the columns of all factors", lambda: np.linalg.qr(matrix, mode="r")),
        "crossed and nested random intercepts, REML; a likelihood no lower",
    )  # fmt: skip
    assert found.log_likelihood > theirs[0] - 1e-3
    return row


if __name__ == "__main__":
    alone(UNIT, SIZES, measure)
