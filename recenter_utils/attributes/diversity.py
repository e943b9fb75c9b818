"""Diversity: how far apart users are, how broad each one is, and a sample that spans both (§4.2, Appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from recenter_utils.errors import RecenterError
from recenter_utils.lots import lot
from recenter_utils.stats.resampling import interval, multinomial_counts

#: Two cosine distances that differ by less are a tie: they are known to about 1e-7.
ROUNDING = 1e-6

#: Vectors held in double precision at once.
PIECE = 1 << 16


class Diversity(NamedTuple):
    """Mean pairwise inter-user cosine distance (0 to 2) with its 95% interval; NaN where `note` says why."""

    inter_user: float
    low: float
    high: float
    n_users: int
    n_attributes: int
    note: str = ""


def user_means(user_ids: pl.Series | Sequence[str], vectors: NDArray) -> tuple[list[str], NDArray[np.float64]]:
    """Return the users, sorted, and the mean of each one's vectors, shape (users, dimensions)."""
    users, sums, counts = _sums(user_ids, vectors)
    return users, sums / counts[:, None]


def inter_user(
    user_ids: pl.Series | Sequence[str],
    vectors: NDArray,
    pooled: bool = False,
    draws: int = 2000,
    seed: int = 0,
) -> Diversity:
    """Return the average pairwise inter-user cosine distance (Table 1).

    The paper does not say how it weighs users. Here every pair of users counts alike: the distance of a pair is
    the mean cosine distance between their attributes, 1 - m_u·m_v for mean vectors m, and the value is the mean
    over pairs. With `pooled` every pair of attributes of two different users counts alike, so that a user with
    many attributes weighs more. Either is a closed form in per-user sums: no pair is ever formed.

    Args:
        user_ids: The user of each attribute.
        vectors: Its unit vector, shape (attributes, dimensions).
        pooled: Weigh pairs of attributes, not pairs of users.
        draws: Bootstrap resamples of users. A user drawn twice is no pair with itself.
        seed: Where the draws start.
    """
    users, sums, counts = _sums(user_ids, vectors)
    if len(users) < 2:
        nan = float("nan")
        return Diversity(nan, nan, nan, len(users), len(vectors), f"{len(users)} users make no pair of users")
    weight = counts if pooled else np.ones(len(users))
    sums = sums if pooled else sums / counts[:, None]
    own = (sums**2).sum(axis=1)

    def distance(times: NDArray[np.float64]) -> NDArray[np.float64]:
        cosines = ((times @ sums) ** 2).sum(axis=1) - times**2 @ own
        pairs = (times @ weight) ** 2 - times**2 @ weight**2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(pairs > 0, 1 - cosines / pairs, np.nan)

    value = float(distance(np.ones((1, len(users))))[0])
    low, high = interval(np.concatenate([distance(times) for times in multinomial_counts(len(users), draws, seed)]))
    return Diversity(value, low, high, len(users), len(vectors))


def generalist_scores(
    attributes: pl.DataFrame, vectors: NDArray, seed: int = 0, size: int | None = None
) -> pl.DataFrame:
    """Return each user's generalist score: mean pairwise cosine distance within a random subsample (Appendix C).

    Args:
        attributes: Columns user_id and attribute_id, one row a merged attribute of an eligible user.
        vectors: Unit vectors in the order of the rows.
        seed: Decides the subsamples. A user's depends on the seed and that user's attribute ids alone: neither
            other users nor the order of the rows matter.
        size: Attributes in a subsample; default: the users' median count, rounded down (17 in the paper). A
            user with fewer uses all.

    Returns:
        user_id (sorted), n_attributes, generalist_score (0 to 2; null for a user with fewer than two).
    """
    _same_length(attributes.height, vectors)
    if attributes.is_empty():
        return pl.DataFrame(schema={"user_id": pl.String, "n_attributes": pl.Int64, "generalist_score": pl.Float64})
    size = subsample_size(attributes["user_id"]) if size is None else size
    ids = zip(attributes["user_id"], attributes["attribute_id"], strict=True)
    # The attributes with the lowest hashes are a random subsample that needs no generator, and so no order.
    drawn = (
        attributes.select("user_id", "attribute_id", row=pl.int_range(pl.len()))
        .with_columns(
            lot=pl.Series(
                [int.from_bytes(lot(seed, user, attribute), "big") for user, attribute in ids], dtype=pl.UInt64
            )
        )
        .sort("user_id", "lot", "attribute_id")
        .filter(pl.int_range(pl.len()).over("user_id") < max(size, 2))
    )
    _, sums, counts = _sums(drawn["user_id"], vectors[drawn["row"].to_numpy()])
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.maximum(1 - ((sums**2).sum(axis=1) - counts) / (counts * (counts - 1)), 0)
    return (
        attributes.group_by("user_id")
        .agg(n_attributes=pl.len().cast(pl.Int64))
        .sort("user_id")
        .with_columns(generalist_score=pl.Series(np.where(counts < 2, np.nan, score)).fill_nan(None))
    )


def subsample_size(user_ids: pl.Series) -> int:
    """Return the median attribute count of the users, rounded down, and at least 2."""
    return max(2, int(user_ids.value_counts()["count"].median()))  # type: ignore[arg-type]


def bins(scores: pl.DataFrame, count: int = 5) -> pl.DataFrame:
    """Return `scores` with a column bin: equal-frequency bins on generalist_score, 1 = most specialised.

    Equal scores fall by user_id, so that bins differ by at most one user; a null score has a null bin.
    """
    ranked = scores.filter(pl.col("generalist_score").is_not_null()).sort("generalist_score", "user_id")
    ranked = ranked.select("user_id", bin=(pl.int_range(pl.len()) * count // pl.len() + 1).cast(pl.Int64))
    return scores.join(ranked, on="user_id", how="left", maintain_order="left")


def farthest_point(vectors: NDArray, n: int) -> NDArray[np.int64]:
    """Return `n` rows, or all where there are fewer, in the order in which greedy farthest-point sampling takes them.

    The first is the row farthest from the centroid of all rows by cosine distance; each next one is the row
    whose nearest row so far is farthest. Ties, also those that rounding makes, go to the lowest row. A row
    without direction (all zeros) is at distance 1 from everything.
    """
    if not len(vectors):
        return np.empty(0, dtype=np.int64)
    rows = _unit(np.asarray(vectors)).astype(np.float32)
    chosen = np.empty(min(n, len(rows)), dtype=np.int64)
    cosine = rows @ _unit(rows.mean(axis=0, keepdims=True))[0]
    closest = cosine.copy()  # of each row: its highest cosine with a row taken so far
    for place in range(len(chosen)):
        row = chosen[place] = np.argmax(closest <= closest.min() + ROUNDING)
        np.dot(rows, rows[row], out=cosine)
        closest = cosine.copy() if place == 0 else np.maximum(closest, cosine, out=closest)
        closest[row] = np.inf
    return chosen


def slots(sizes: Sequence[int], n: int, shares: Sequence[float] | None = None) -> list[int]:
    """Return how many of `n` places each bin gets, in proportion to `shares` (default: to the sizes).

    Largest remainder; equal remainders go to the earlier bin. Places beyond a bin's size are passed on to the
    bins that have room, again in proportion, until all `n` are given or every bin is full.
    """
    given = [0] * len(sizes)
    left = min(n, sum(sizes))
    while left:
        room = [size - have for size, have in zip(sizes, given, strict=True)]
        share = [Fraction(want) if free else Fraction() for want, free in zip(shares or sizes, room, strict=True)]
        if not sum(share):  # only bins that were to get nothing have room
            share = [Fraction(free) for free in room]
        quota = [left * part / sum(share) for part in share]
        order = sorted(range(len(quota)), key=[-(part % 1) for part in quota].__getitem__)
        extra = left - sum(int(part) for part in quota)
        for place, index in enumerate(order):
            given[index] += min(int(quota[index]) + (place < extra), room[index])
        left = min(n, sum(sizes)) - sum(given)
    return given


def sample(users: pl.DataFrame, vectors: NDArray, n: int) -> pl.DataFrame:
    """Return `users` with the columns sampled and draw: farthest-point sampling within each bin (Appendix C).

    Args:
        users: Columns user_id and bin, one row a user of the pool; a user without a bin is not sampled.
        vectors: Each user's mean vector, in the order of the rows (see `user_means`).
        n: Users to sample; all with a bin where there are fewer. Bins get places in proportion to their sizes.

    Rows keep their order. `draw` is the place within the bin, from 1, and null for who is not sampled. Users
    are taken by user_id where distances tie, whatever their order here.
    """
    _same_length(users.height, vectors)
    draw = np.zeros(users.height, dtype=np.int64)
    place = users["user_id"].arg_sort().to_numpy()
    bin_of = users["bin"].fill_null(0).to_numpy()[place]
    names = np.unique(bin_of[bin_of > 0])
    pools = [place[bin_of == name] for name in names]
    for pool, wanted in zip(pools, slots([len(pool) for pool in pools], n), strict=True):
        draw[pool[farthest_point(vectors[pool], wanted)]] = np.arange(1, wanted + 1)
    return users.with_columns(sampled=pl.Series(draw > 0), draw=pl.Series(draw).replace(0, None))


def example_users(users: pl.DataFrame, merged: pl.DataFrame, top: int = 5) -> pl.DataFrame:
    """Return one sampled user a bin, the closest to the bin's median score, with their attributes (Table 4).

    Args:
        users: Columns user_id, generalist_score, bin and sampled, one row a user of the pool.
        merged: Columns user_id, attribute_id, attribute and confidence.
        top: Attributes to show, the most confident ones.

    Returns:
        bin, user_id, generalist_score, score (min-max normalised over the pool to 0 to 1; null where all scores
        are equal) and attributes (list). A bin without a sampled user has no row; ties go by user_id.
    """
    score = pl.col("generalist_score")
    span = score.max() - score.min()
    chosen = (
        users.filter(pl.col("bin").is_not_null())
        .with_columns(
            score=pl.when(span > 0).then((score - score.min()) / span),
            away=(score - score.median().over("bin")).abs(),
        )
        .filter("sampled")
        .sort("bin", "away", "user_id")
        .group_by("bin", maintain_order=True)
        .first()
    )
    best = (
        merged.sort(["user_id", "confidence", "attribute_id"], descending=[False, True, False])
        .group_by("user_id", maintain_order=True)
        .agg(attributes=pl.col("attribute").head(top))
    )
    return chosen.join(best, on="user_id", how="left", maintain_order="left").select(
        "bin", "user_id", "generalist_score", "score", pl.col("attributes").fill_null([])
    )


def plane(vectors: NDArray) -> NDArray[np.float64]:
    """Return coordinates for a plot, shape (rows, 2): the first two principal components.

    Each component points so that its largest loading is positive, so that a plot never flips between machines.
    Where there are fewer than two components the rest is 0.
    """
    found = np.zeros((len(vectors), 2))
    if len(vectors) < 2:
        return found
    centred = np.asarray(vectors, dtype=float) - np.mean(vectors, axis=0, dtype=float)
    # The triangle of a QR decomposition has the same right singular vectors and is far smaller than a pool of users.
    axes = np.linalg.svd(np.linalg.qr(centred, mode="r"))[2][:2]
    axes *= np.sign(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1))
    found[:, : len(axes)] = centred @ axes.T
    return found


def _sums(
    user_ids: pl.Series | Sequence[str], vectors: NDArray
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Return the users, sorted, and the sum and number of each one's vectors."""
    _same_length(len(user_ids), vectors)
    series = pl.Series("user", user_ids, dtype=pl.String)
    users = series.unique().sort()
    code = series.rank("dense").to_numpy().astype(np.int64) - 1
    sums = np.zeros((len(users), vectors.shape[1]))
    for start in range(0, len(vectors), PIECE):
        part = np.asarray(vectors[start : start + PIECE], dtype=float)
        if not (np.abs(np.einsum("ij,ij->i", part, part) - 1) < 1e-3).all():
            raise RecenterError("Diversity needs vectors of unit length; make them with embeddings.embed().")
        mine, row = np.unique(code[start : start + PIECE], return_inverse=True)
        members = csr_array((np.ones(len(row)), (row, np.arange(len(row)))), shape=(len(mine), len(row)))
        sums[mine] += members @ part
    return users.to_list(), sums, np.bincount(code, minlength=len(users)).astype(float)


def _same_length(rows: int, vectors: ArrayLike) -> None:
    if np.ndim(vectors) != 2 or len(vectors) != rows:  # type: ignore[arg-type]
        raise RecenterError(f"There must be one vector for each of {rows} rows; got shape {np.shape(vectors)}.")


def _unit(vectors: NDArray) -> NDArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
