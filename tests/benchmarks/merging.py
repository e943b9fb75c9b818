"""Merging of users' attributes, beside scikit-learn's clustering a user and scipy's linkage alone.

`python -m tests.benchmarks.merging [--users 16573]`

The limit is linkage with the distances given for nothing; it makes a tree only, where ours goes on to clusters,
representatives, confidences and the frame. At one size, two further kinds of data are measured too.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from scipy.cluster.hierarchy import linkage
from sklearn.cluster import AgglomerativeClustering

from recenter_utils.attributes.merging import merge
from tests.benchmarks.table import alone, as_text
from tests.benchmarks.timing import Row, Way, compare

PART, UNIT = "merging", "users"
SIZES = {"small": (10, 20, 40), "full": (200, 600, 1_800)}

DIMENSIONS, ATTRIBUTES, SIMILARITY = 384, 50, 0.7
#: Mean cosine within a clump, and attributes a clump.
KINDS = {"clumpy": (0.8, 0.95, 5), "straddling": (0.55, 0.9, 5), "sparse": (0.2, 0.6, 5)}
#: Users of whom scikit-learn is asked; its time is scaled up to all.
ASKED = 200


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def clumps(users: int, each: int, low: float, high: float, clump: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors in clumps whose mean cosine is drawn between low and high; users' rows stand together."""
    parts = []
    for start in range(0, users, 500):
        rows = (min(start + 500, users) - start) * each
        centre = np.repeat(unit(rng.standard_normal((-(-rows // clump), DIMENSIONS), dtype=np.float32)), clump, 0)[
            :rows
        ]
        cosine = np.repeat(rng.uniform(low, high, -(-rows // clump)), clump)[:rows, None].astype(np.float32)
        noise = unit(rng.standard_normal((rows, DIMENSIONS), dtype=np.float32))
        parts.append(unit(np.sqrt(cosine) * centre + np.sqrt(1 - cosine) * noise))
    return np.concatenate(parts)


def attributes(users: int) -> pl.DataFrame:
    """Return the rows to merge, without their vectors."""
    rows = users * ATTRIBUTES
    return pl.DataFrame({"row": np.arange(rows), "user": np.repeat(np.arange(users), ATTRIBUTES)}).select(
        attribute_id=pl.format("a{}", "row"),
        user_id=pl.format("u{}", "user"),
        conversation_id=pl.format("c{}-{}", "user", pl.col("row") % 7),
        attribute=pl.format("Statement {}.", "row"),
        confidence=0.4 + 0.6 * (pl.col("row") % 13) / 13,
    )


def clustered(vectors: np.ndarray) -> int:
    """Return how many clusters scikit-learn finds, user by user."""
    found = 0
    for mine in vectors.reshape(-1, ATTRIBUTES, DIMENSIONS):
        model = AgglomerativeClustering(
            n_clusters=None, metric="cosine", linkage="average", distance_threshold=1 - SIMILARITY
        )
        found += int(model.fit(mine).n_clusters_)
    return found


def measure(size: int, kind: str = "straddling") -> Row:
    vectors = clumps(size, ATTRIBUTES, *KINDS[kind], np.random.default_rng(7))
    frame, asked = attributes(size), min(size, ASKED)
    some = vectors[: asked * ATTRIBUTES]
    assert merge(frame.head(len(some)), some, SIMILARITY).height == clustered(some)
    upper = np.triu_indices(ATTRIBUTES, 1)
    distances = [
        np.maximum(1 - (mine @ mine.T)[upper].astype(float), 0)
        for mine in vectors.reshape(-1, ATTRIBUTES, DIMENSIONS)
    ]  # fmt: skip
    return compare(
        PART, size, UNIT, lambda: merge(frame, vectors, SIMILARITY),
        Way("scikit-learn's AgglomerativeClustering, a user at a time", lambda: clustered(some), asked / size),
        Way("scipy's linkage, distances given", lambda: [linkage(given, "average") for given in distances]),
        f"{ATTRIBUTES} attributes each, {DIMENSIONS} dimensions, {kind} clumps; as many clusters",
    )  # fmt: skip


def others(size: int) -> Iterator[str]:
    yield as_text([measure(size, kind) for kind in KINDS if kind != "straddling"])


if __name__ == "__main__":
    alone(UNIT, SIZES, measure, others)
