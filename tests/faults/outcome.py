"""What became of an injected fault, and the table of all of them."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COLUMNS = ("fault", "injected", "survived", "lost", "asked_twice", "message", "seconds")


@dataclass
class Outcome:
    """One row of the fault table.

    injected: how often the fault was put in; survived: after how many of these the work went on and ended with the
    tables of an undisturbed run; asked_twice: questions asked again although their answer was stored; message: what
    was said, empty where nothing had to be; problem: why one did not survive, or why the fault could not be injected.
    """

    fault: str
    injected: int = 0
    survived: int = 0
    asked_twice: int = 0
    message: str = ""
    seconds: float = 0.0
    problem: str = ""

    @property
    def lost(self) -> int:
        """How many did not survive."""
        return self.injected - self.survived

    @property
    def row(self) -> tuple[str, ...]:
        """The fault's row of the table, as text."""
        said = self.message or ("not injected: " + self.problem if not self.injected else "–")
        return (
            self.fault, *map(str, (self.injected, self.survived, self.lost, self.asked_twice)), said,
            f"{self.seconds:.0f}",
        )  # fmt: skip

    def add(self, times: int, problem: str = "", asked_twice: int = 0) -> None:
        """Count a fault that was put in so many times, and survived unless there is a problem."""
        self.injected += times
        self.survived += 0 if problem else times
        self.asked_twice += asked_twice
        self.problem = self.problem or problem

    def heard(self, said: str, *words: str) -> str:
        """Keep the sentence that holds all the words, and return nothing; or return what is missing, as a problem."""
        for line in said.splitlines():
            if all(word in line for word in words):
                # Without the folder of this try, which is gone when somebody reads the table.
                self.message = self.message or re.sub(r"/\S*?/(?=data/|notebooks/)", "", line.strip())
                return ""
        return f"no line says {' and '.join(map(repr, words))}: {said.strip()[-300:]!r}"

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add the seconds of this block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - started


def as_text(outcomes: Sequence[Outcome]) -> str:
    """Return the table for a terminal, with a last line of sums."""
    rows = [COLUMNS, *(outcome.row for outcome in outcomes), _sums(outcomes)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(COLUMNS))]
    widths[5] = min(widths[5], 60)
    lines = []
    for row in rows:
        cells = [
            cell[: widths[place] - 1] + "…" if len(cell) > widths[place] else cell for place, cell in enumerate(row)
        ]
        lines.append(
            "  ".join(
                cell.rjust(width) if 0 < place < 5 or place == 6 else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ).rstrip()
        )
    problems = [f"{outcome.fault}: {outcome.problem}" for outcome in outcomes if outcome.lost]
    return "\n".join([*lines, *problems])


def write(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the table as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *(outcome.row for outcome in outcomes)])


def _sums(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    counts = [sum(getattr(outcome, name) for outcome in outcomes) for name in COLUMNS[1:5]]
    return ("all", *map(str, counts), "", f"{sum(outcome.seconds for outcome in outcomes):.0f}")
