"""The one error a user is meant to read: a sentence that names the thing and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class RecenterError(Exception):
    """Something the user can mend. The command line prints the sentence alone, without a traceback."""


class SilentError(RecenterError):
    """A model's server answered no request. answers: the rows that `inference.run.run` has for them all the same."""

    def __init__(self, sentence: str, answers: Any = None) -> None:
        super().__init__(sentence)
        self.answers = answers


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known name closest to `name`, or the list of known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" Known: {', '.join(known)}." if known else ""


def first_rows(rows: Sequence[str], shown: int = 3) -> str:
    """Return the first of what is wrong, and how many more there are."""
    more = f" and {len(rows) - shown:,} more" if len(rows) > shown else ""
    return f"{'; '.join(rows[:shown])}{more}"
