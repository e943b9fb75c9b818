"""All numbers of the agreement page, beside a loop over scikit-learn and beside the draws and products alone.

`python -m tests.benchmarks.relevance [--pairs 3969]`

Kappa of every two raters, its blocks, and each model at matched thresholds, with intervals over requests. The loop
draws requests again, gathers their rows and asks scikit-learn; it is timed on a few resamples and scaled up.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import polars as pl
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from recenter_utils.relevance import agreement, thresholds
from recenter_utils.relevance.consensus import consensus
from recenter_utils.scales import PEOPLE as PEOPLE_KINDS
from recenter_utils.stats.resampling import multinomial_counts
from tests.benchmarks.agreement import products
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare, seconds
from tests.relevant import MODELS, PEOPLE, Rater, judgments_of, pairs_of

PART, UNIT = "agreement page", "pairs"
SIZES = {"small": (205, 410, 820), "full": (1_025, 2_050, 4_100)}

REQUESTS, DRAWS = 41, 2_000
#: Resamples of the loop that are timed.
LOOPED = 2

FIVE = MODELS | {
    "strict": Rater("llm", threshold=1.2, noise=0.6, graded=True),
    "blunt": Rater("llm", threshold=-0.4, noise=1.4, graded=True),
}

Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]


def tables(size: int) -> Tables:
    """Return judgments of so many pairs, the pairs, and the reference."""
    pairs = pairs_of(REQUESTS, -(-size // REQUESTS)).head(size)
    judgments = judgments_of(pairs, 1, PEOPLE | FIVE)
    return judgments, pairs, consensus(judgments, pairs)


def looped(judgments: pl.DataFrame, pairs: pl.DataFrame, reference: pl.DataFrame) -> np.ndarray:
    """Return the intervals of all kappas from a plain loop, which also does the rest of the page, for its time."""
    wide = agreement.answers(judgments)
    requests = agreement.requests(wide, pairs)
    people = judgments.filter(pl.col("rater_kind").is_in(PEOPLE_KINDS))["rater"].unique().to_list()
    scored = judgments.pivot("rater", index="item_id", values="score").to_pandas().set_index("item_id").loc[wide.index]
    majority = dict(reference.select("pair_id", "reference").iter_rows())
    answers = (wide == "yes").to_numpy()
    columns = {name: n for n, name in enumerate(wide.columns)}
    truths = {name: answers[:, columns[name]] for name in people}
    truths["majority"] = np.array([majority[item] == "yes" for item in wide.index])
    models = {name: scored[name].to_numpy(float) for name in wide.columns if name not in people}
    rows = [np.flatnonzero(requests == name) for name in np.unique(requests)]
    draws = []
    for counts in next(multinomial_counts(len(rows), LOOPED, 0)).astype(int):
        chosen = np.concatenate([rows[place] for place in np.repeat(np.arange(len(rows)), counts)])
        drawn = answers[chosen]
        draws.append([cohen_kappa_score(drawn[:, a], drawn[:, b]) for a, b in combinations(range(len(columns)), 2)])
        for scores in models.values():
            for truth in truths.values():
                cut = np.quantile(scores[chosen], 1 - truth[chosen].mean())
                cohen_kappa_score(truth[chosen], scores[chosen] > cut)
                roc_auc_score(truth[chosen], scores[chosen])
    return np.quantile(draws, [0.025, 0.975], axis=0)


def parts(given: Tables, draws: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Yield what the page shows, by name."""
    judgments, pairs, reference = given
    yield "kappa matrix", agreement.matrix(judgments, pairs, draws=draws)
    yield "blocks", agreement.blocks(judgments, pairs, draws=draws)
    yield "matched thresholds", thresholds.measure(judgments, pairs, reference, draws=draws)


def measure(size: int) -> Row:
    given = tables(size)
    raters = given[0]["rater"].n_unique()
    same = agreement.matrix(*given[:2], draws=LOOPED).select("low", "high").to_numpy().T
    np.testing.assert_allclose(same, looped(*given), atol=1e-9)
    # Of each two raters the four cells; of each model and each truth those at the threshold, and ranks for the area.
    columns = 4 * (raters * (raters - 1) // 2) + 5 * len(FIVE) * (len(PEOPLE) + 1)
    return compare(
        PART, size, UNIT, lambda: list(parts(given, DRAWS)),
        Way("a loop over resamples and scikit-learn", lambda: looped(*given), LOOPED / DRAWS),
        Way("the draws and their matrix products", lambda: products(REQUESTS, columns, DRAWS)),
        f"{raters} raters, {DRAWS:,} resamples of {REQUESTS} requests; the same ends of all kappas",
    )  # fmt: skip


def others(size: int) -> Iterator[str]:
    given = tables(size)
    going = parts(given, DRAWS)
    for name in ("kappa matrix", "blocks", "matched thresholds"):
        yield f"{name:<25} {seconds(lambda: next(going)):8.2f} s"


if __name__ == "__main__":
    alone(UNIT, SIZES, measure, others)
