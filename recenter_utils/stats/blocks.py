"""Mean agreement within groups of raters and between them: the blocks of a matrix of pairs, and how they differ."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from recenter_utils.stats.pairs import LEAST_SHARED, Drawn, PairEstimates, estimate_pairs, mean_of_pairs
from recenter_utils.stats.ratings import read_ratings

#: The two groups whose pairs a block holds; the same one twice for the pairs within a group.
Block = tuple[str, str]

_ENDS = ("value", "low", "high")


def block_name(block: Block) -> str:
    """Return what a table calls a block: `people with models`."""
    return " with ".join(block)


def difference_name(first: Block, second: Block) -> str:
    """Return what a table calls the first block less the second."""
    return f"{block_name(first)} - {block_name(second)}"


def block_means(
    wide: pd.DataFrame,
    labels: Sequence[Hashable],
    groups: Mapping[Any, str],
    *,
    order: Sequence[str] = (),
    differences: Iterable[tuple[Block, Block]] = (),
    statistic: str = "kappa",
    clusters: ArrayLike | None = None,
    draws: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    least_shared: int = LEAST_SHARED,
) -> pd.DataFrame:
    """Return the mean agreement of the pairs in each block, with intervals over clusters.

    All pairs take part in the same resamples, the ones of `agreement.pairwise` with the same seed: a difference of two
    blocks is taken draw by draw, so that what moves both is no noise in it.

    Args:
        wide: One row an item, one column a rater; None or NaN where a rater did not answer.
        labels: Every label of the scale, in order.
        groups: The group of each column.
        order: The groups in order, also those without a rater; default: those that have one. Every group has a block,
            and every two groups have.
        differences: Pairs of blocks, the first less the second.
        statistic: One of `pairs.STATISTICS`.
        clusters: What is drawn again, a name for each row; default: single items.
        draws: Resamples; 0 for values only.
        seed: Where they start.
        level: Share of the draws inside the interval.
        least_shared: Items that a pair must share to count in a block, as in `agreement.overall`.

    Returns:
        block, n_pairs (pairs of raters that are in the mean; of a difference, in both), value, low, high and reason.
        First each group's own block, then each two groups', then the differences.
    """
    ratings = read_ratings(wide, labels, clusters, least=2)
    found = estimate_pairs(ratings, statistic, draws, seed)
    sides = [(groups[ratings.raters[a]], groups[ratings.raters[b]]) for a, b in ratings.pairs]
    return _table(found, sides, list(order or dict.fromkeys(groups.values())), differences, level, least_shared)


def block_means_of(
    pairs: pd.DataFrame,
    groups: Mapping[Any, str],
    *,
    order: Sequence[str] = (),
    differences: Iterable[tuple[Block, Block]] = (),
    least_shared: int = LEAST_SHARED,
) -> pd.DataFrame:
    """Return the table of `block_means` from pairs whose agreement is known already, such as published ones.

    pairs: rater_a, rater_b and value; with a column n, pairs that share few items are left out, and with a column
    reason a rater of one answer only is said. Without answers there is nothing to draw again, and no interval.
    """
    values = pairs["value"].to_numpy(dtype=float)
    shared = pairs["n"].to_numpy(dtype=float) if "n" in pairs else np.full(len(pairs), float(least_shared))
    reasons = pairs["reason"] if "reason" in pairs else [None] * len(pairs)
    notes = [
        why or ("" if value == value else "the value is missing") for value, why in zip(values, reasons, strict=True)
    ]
    found = PairEstimates(values, np.empty((0, len(values))), shared[None], notes)
    sides = [(groups[a], groups[b]) for a, b in zip(pairs["rater_a"], pairs["rater_b"], strict=True)]
    return _table(found, sides, list(order or dict.fromkeys(groups.values())), differences, 0.95, least_shared)


def _table(
    found: PairEstimates,
    sides: list[Block],
    groups: list[str],
    differences: Iterable[tuple[Block, Block]],
    level: float,
    least_shared: int,
) -> pd.DataFrame:
    """sides: the groups of each pair's two raters."""
    between = [(a, b) for place, a in enumerate(groups) for b in groups[place + 1 :]]
    blocks = [(group, group) for group in groups] + between
    means = {block: _mean(found, sides, block, least_shared) for block in blocks}
    rows = [(block_name(block), mean) for block, mean in means.items()]
    for first, second in differences:
        rows.append((difference_name(first, second), _known(means, first).less(_known(means, second))))
    found_rows = [(name, mean.n, mean.interval(level)) for name, mean in rows]
    return pd.DataFrame(
        {
            "block": pd.Series([name for name, _, _ in found_rows], dtype=object),
            "n_pairs": pd.Series([n for _, n, _ in found_rows], dtype="int64"),
            **{end: pd.Series([getattr(row[2], end) for row in found_rows], dtype=float) for end in _ENDS},
            "reason": pd.Series([row[2].reason or None for row in found_rows], dtype=object),
        }
    )


def _mean(found: PairEstimates, sides: list[Block], block: Block, least_shared: int) -> Drawn:
    members: NDArray[np.bool_] = np.array([side in (block, block[::-1]) for side in sides], dtype=bool)
    mean = mean_of_pairs(found, members, least_shared)
    if members.any():
        return mean
    why = f"there are no two {block[0]}" if block[0] == block[1] else f"there is no pair of {block_name(block)}"
    return mean._replace(note=why)


def _known(means: Mapping[Block, Drawn], block: Block) -> Drawn:
    if block not in means and block[::-1] not in means:
        raise ValueError(f"There is no block '{block_name(block)}': {', '.join(map(block_name, means))} are.")
    return means[block] if block in means else means[block[::-1]]
