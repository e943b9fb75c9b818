"""What a study has to say to a published finding: its tables, and a number out of them with its interval."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from recenter_utils.annotation.annotators import included
from recenter_utils.report import interval_of
from recenter_utils.settings import Settings
from recenter_utils.stats.resampling import Interval

if TYPE_CHECKING:
    from recenter_utils.study import Study

NAN = float("nan")


class Number(NamedTuple):
    """A number of a study with its interval, and how many of what it rests on; NaN where `reason` says why."""

    value: float = NAN
    low: float = NAN
    high: float = NAN
    n: int | None = None
    of: str = ""
    reason: str = ""
    name: str = ""  # whose number it is, where it is one of several


class UnansweredError(Exception):
    """A study has no number for a finding; the message says why."""


@dataclass(frozen=True)
class Evidence:
    """The tables of a study that there are, by name, and its settings."""

    tables: Mapping[str, pl.DataFrame]
    settings: Settings
    engines: Mapping[str, str]  # of each model that the study can name

    @classmethod
    def of(cls, study: Study) -> Evidence:
        """Read every table that the study's notebook declares and that has been made."""
        assert study.caller is not None
        there = [name for name in study.caller.reads if study.table_path(name).is_file()]
        engines = {name: model.engine for name, model in study.models.items()}
        return cls({name: study.frame(name) for name in there}, study.settings, engines)

    def table(self, name: str) -> pl.DataFrame:
        """Return a table; raise UnansweredError where it has not been made."""
        if name not in self.tables:
            raise UnansweredError(f"the table '{name}' has not been made")
        return self.tables[name]

    def counted(self, name: str) -> pl.DataFrame:
        """Return a table with the column `rater`, without annotators whom study.yaml leaves out."""
        return included(self.table(name), self.settings.annotation.excluded)

    def answer(self, find: Callable[[Evidence], Number]) -> Number:
        """Return what `find` makes of the tables, or a number that is undefined for the reason it gives."""
        try:
            return find(self)
        except UnansweredError as reason:
            return Number(reason=str(reason))


def number(row: Mapping[str, Any], n: int | None, of: str, name: str = "") -> Number:
    """Return a table's row with value, low, high and reason as a study's number."""
    return told(interval_of({"reason": None} | dict(row)), n, of, name)


def told(found: Interval, n: int | None, of: str, name: str = "") -> Number:
    """Return a number with its interval as a study's number of so many things."""
    return Number(found.value, found.low, found.high, n, of, found.reason, name)


def only(rows: pl.DataFrame, why: str) -> dict[str, Any]:
    """Return the first row; raise UnansweredError with the reason where there is none."""
    if rows.is_empty():
        raise UnansweredError(why)
    return rows.row(0, named=True)


def extreme(rows: pl.DataFrame, why: str, highest: bool, by: str = "value") -> dict[str, Any]:
    """Return the row with the highest or lowest number; raise UnansweredError with the reason where none has one."""
    return only(rows.drop_nulls(by).sort(by, descending=highest, maintain_order=True), why)


@dataclass(frozen=True)
class Answer:
    """How a study answers a finding, and what the answer rests on.

    `judged` names the table with the annotators' answers, `asked` the roles of the models in study.yaml, `drawn` what
    it is about: users with `real` chats, users of `synthetic` benchmarks, `requests`. `differs` says in what the number
    is another one than the paper's, if it is, whoever judged and whatever was drawn.
    """

    find: Callable[[Evidence], Number]
    judged: str = ""
    asked: Sequence[str] = ()
    drawn: Sequence[str] = ()
    differs: Callable[[Evidence], str] | None = None
