"""A thing that follows from printed numbers: what is printed, what the arithmetic gives, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl

from recenter_utils import published
from recenter_utils.stats.confusion import METRICS

#: Returns the published numbers of a figure or table by its name, such as `table-2`.
Read = Callable[[str], pl.DataFrame]

#: What Tables 2 and 3 print of each row.
PRINTED = ("accuracy", "precision", "recall", "f1")


class Check(NamedTuple):
    """A printed number beside the nearest that the arithmetic allows; `digit` is one in the last printed place."""

    about: str
    printed: float
    found: float
    digit: float = 0.001

    @property
    def steps(self) -> float:
        """By how many of its last digits it is off; up to a half is rounding."""
        return (self.printed - self.found) / self.digit


class Finding(NamedTuple):
    """What is printed, what the arithmetic gives and what follows, in sentences; and the numbers that were checked."""

    stage: int
    about: str
    printed: str
    arithmetic: str
    follows: str
    checks: tuple[Check, ...] = ()


def rows(frame: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return accuracy, precision, recall and F1 of everything that has all four, by item."""
    found = {name: published.numbers(frame, name) for name in PRINTED}
    return {item: {name: found[name][item] for name in PRINTED} for item in found["f1"] if item in found["accuracy"]}


def metric(name: str, tp: float, fp: float, fn: float, n: float) -> float:
    """Return one of `confusion.METRICS` from counts: true and false positives, false negatives, and all items."""
    return float(METRICS[name].value(np.array([tp, fp, fn, n - tp - fp - fn], dtype=float)))


def digits(row: Mapping[str, float]) -> str:
    """Return numbers as a table prints them, three digits each."""
    return " / ".join(f"{value:.3f}" for value in row.values())


def listed(names: list[str]) -> str:
    """Return names as a list in words."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
