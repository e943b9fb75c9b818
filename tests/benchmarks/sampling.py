"""Farthest-point sampling of users, beside a loop with scikit-learn's distances and bare matrix-vector products.

`python -m tests.benchmarks.sampling [--users 16573]`
"""

from __future__ import annotations

import numpy as np
import polars as pl
from sklearn.metrics import pairwise_distances

from recenter_utils.attributes.diversity import ROUNDING, bins, sample, slots
from tests.benchmarks.table import alone
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "sampling", "users"
SIZES = {"small": (200, 400, 800), "full": (1_000, 3_000, 9_000)}

DIMENSIONS, BINS, SHARE = 384, 5, 0.3


def looped(means: np.ndarray, wanted: int, steps: int) -> list[int]:
    """Return the first so many rows of a sample, the distances of each step asked of scikit-learn."""
    unit = means / np.linalg.norm(means, axis=1, keepdims=True)
    nearest = pairwise_distances(means, unit.mean(axis=0, keepdims=True), metric="cosine")[:, 0]
    chosen: list[int] = []
    for _ in range(min(wanted, steps)):
        chosen.append(int(np.argmax(nearest >= nearest.max() - ROUNDING)))
        distance = pairwise_distances(means, means[chosen[-1:]], metric="cosine")[:, 0]
        nearest = distance if len(chosen) == 1 else np.minimum(nearest, distance)
        nearest[chosen] = -np.inf
    return chosen


def measure(size: int, most_steps: int = 40) -> Row:
    rng = np.random.default_rng(7)
    means = rng.standard_normal((size, DIMENSIONS)) + 2 * rng.standard_normal(DIMENSIONS)
    users = pl.DataFrame({"user_id": [f"u{row:06}" for row in range(size)], "generalist_score": rng.random(size)})
    users, number = bins(users, BINS), int(SHARE * size)
    chosen = sample(users, means, number)
    rows = [np.flatnonzero(users["bin"].to_numpy() == name) for name in range(1, BINS + 1)]
    wanted = slots([len(mine) for mine in rows], number)
    parts = [means[mine].astype(np.float32) for mine in rows]

    def loop() -> list[list[int]]:
        return [looped(part, places, most_steps) for part, places in zip(parts, wanted, strict=True)]

    def products() -> None:
        for part, places in zip(parts, wanted, strict=True):
            for row in range(places):
                part @ part[row]

    drawn = chosen["draw"].fill_null(0).to_numpy()
    for mine, first in zip(rows, loop(), strict=True):
        same = np.isin(mine[first], mine[(drawn[mine] > 0) & (drawn[mine] <= len(first))])
        assert same.mean() > 0.9  # single precision may break a tie otherwise
    done = sum(min(places, most_steps) for places in wanted) / number
    return compare(
        PART, size, UNIT, lambda: sample(users, means, number),
        Way("a loop with scikit-learn's pairwise_distances", loop, done), Way("its matrix-vector products", products),
        f"{SHARE:.0%} of the users sampled in {BINS} bins, {DIMENSIONS} dimensions; the same users",
    )  # fmt: skip


if __name__ == "__main__":
    alone(UNIT, SIZES, measure)
