"""The one error a user is meant to read: a sentence that names the thing and the remedy."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Sequence
from typing import Any


class RecenterError(Exception):
    """Something the user can mend. The command line prints the sentence alone, without a traceback."""


class SilentError(RecenterError):
    """A model's server answered no request. answers: the rows that `inference.run.run` has for them all the same."""

    def __init__(self, sentence: str, answers: Any = None) -> None:
        super().__init__(sentence)
        self.answers = answers


def disk_problem(problem: OSError) -> str:
    """Return what the system said of a file or folder, and what helps against it, as a sentence."""
    where = f" ({problem.filename})" if problem.filename else ""
    remedy = {
        errno.ENOSPC: "free some and run again",
        errno.EDQUOT: "free some and run again",
        errno.EFBIG: "raise the limit on the size of files and run again",
        errno.EROFS: "make it writable and run again",
        errno.EACCES: "give this user the right to it and run again",
    }.get(problem.errno or 0, "mend that and run again")
    return f"{problem.strerror or problem}{where}: {remedy}."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the known name closest to `name`, or the list of known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f" Did you mean '{printable(close[0])}'?"
    return f" Known: {', '.join(map(printable, known))}." if known else ""


def printable(text: str, longest: int = 80) -> str:
    """Return a text from a file as a sentence can repeat it: short, on one line, with nothing that steers a screen."""
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown if len(shown) <= longest else f"{shown[:longest]}…"


def first_rows(rows: Sequence[str], shown: int = 3) -> str:
    """Return the first of what is wrong, and how many more there are."""
    more = f" and {len(rows) - shown:,} more" if len(rows) > shown else ""
    return f"{'; '.join(rows[:shown])}{more}"
