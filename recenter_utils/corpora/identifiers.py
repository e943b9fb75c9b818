"""Which identifiers were met before, in a corpus of millions."""

from __future__ import annotations

import numpy as np
import polars as pl


class Met:
    """The identifiers of earlier batches, in eight bytes each: sorted runs of hashes, each longer than the next.

    Two that differ are taken for one about once in 2^64 pairs.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def before(self, identifiers: pl.Series) -> pl.Series:
        """Return which of a batch were in an earlier one, and remember the batch."""
        hashes = identifiers.hash().to_numpy()
        known = np.zeros(len(hashes), bool)
        for run in self._runs:
            known |= run[np.searchsorted(run, hashes).clip(max=len(run) - 1)] == hashes
        new = np.unique(hashes[~known])
        while self._runs and len(self._runs[-1]) <= len(new):
            new = np.union1d(self._runs.pop(), new)
        if len(new):
            self._runs.append(new)
        return pl.Series(known, dtype=pl.Boolean)
