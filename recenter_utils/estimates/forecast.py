"""A study as it will be: its tables where it has them, and what is expected to stand there where it has not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import polars as pl

from recenter_utils.estimates.imagined import ANSWERS
from recenter_utils.inference.counting import Call, counting
from recenter_utils.study import Study


@dataclass(frozen=True)
class Part:
    """A call of `run` that a notebook would make. scale: how many requests stand behind each that was looked at."""

    notebook: str
    call: Call
    scale: float = 1.0


class Forecast(Study):
    """A study whose stages are gone through without asking. Build it with `Forecast.open`, as a study.

    Attributes: `parts`, what would be asked, in order; `assumed`, in words, what was not known, by notebook; `sample`,
    the prompts of each call to look at.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.parts: list[Part] = []
        self.assumed: dict[str, list[str]] = {}
        self.sample = 200
        self._expected: dict[str, pl.DataFrame] = {}
        self._held: dict[str, pl.DataFrame] = {}

    @contextmanager
    def count(self, notebook: str, scale: float = 1.0) -> Iterator[None]:
        """Note what is asked meanwhile as this notebook's, and ask nobody."""
        with counting(self.sample, ANSWERS) as calls:
            yield
        self.parts += [Part(notebook, call, scale) for call in calls if call.requests]

    def has(self, *names: str) -> bool:
        """Say whether the study has all these tables."""
        return all(self.table_path(name).is_file() for name in names)

    def expect(self, notebook: str, why: str, **tables: pl.DataFrame) -> None:
        """Have tables stand where the study has none, and note why they may be taken for what will be there, if so."""
        lacking = {name: frame for name, frame in tables.items() if not self.has(name)}
        self._expected |= lacking
        if why and any(len(frame) for frame in lacking.values()):
            self.assume(notebook, why)

    def assume(self, notebook: str, why: str) -> None:
        """Note what is taken to be so in a notebook."""
        self.assumed.setdefault(notebook, []).append(why)

    def frame(self, name: str) -> pl.DataFrame:
        """See `Study.frame`; of a table that is not there yet, what is expected of it."""
        if name in self._expected:
            return self._expected[name]
        if name not in self._held:
            self._held[name] = super().frame(name)
        return self._held[name]
