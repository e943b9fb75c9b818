"""The ledger: what the paper reports beside what a study found."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import Table, column, count, one_of, table, text
from recenter_utils.codebook.judgments import number
from recenter_utils.codebook.relevance import WHY

#: Where a study's interval is, beside the published number.
PLACES = ("holds", "below", "above")

#: How a published number is known: it stands in the paper, is a length in a vector figure, or follows by arithmetic.
TAGS = ("printed", "read off", "derived")

#: How the paper gives the number of a finding that it does not give as it is.
QUALIFIERS = ("about", "above")

TABLES: tuple[Table, ...] = (
    table(
        "ledger",
        "a finding of the paper, and the same number of this study",
        {
            "key": text("The finding, by its key in data/published/findings.csv."),
            "stage": count("The stage that it belongs to, 1 to 3."),
            "finding": text("What the number is."),
            "unit": text("The range it can take."),
            "published": column(pl.Float64, "The paper's number."),
            "qualifier": one_of(QUALIFIERS, "How the paper gives it; null: as it is.", nullable=True),
            "source": text("Where in the paper it stands."),
            "tag": one_of(TAGS, "How it is known; see data/published."),
            "value": number("This study's number."),
            "low": number("Lower end of its 95% interval."),
            "high": number("Upper end."),
            "name": text("Whose number it is, where it is the highest, the lowest or one of several.", nullable=True),
            "n": column(pl.Int64, "How many things this study's number rests on.", unit="count", nullable=True),
            "n_of": text("What these are.", nullable=True),
            "n_published": column(pl.Int64, "How many the paper's rests on.", unit="count", nullable=True),
            "place": one_of(PLACES, "The interval beside the paper's number; null without an interval.", nullable=True),
            "why": column(
                pl.List(pl.String), "Why the two differ, as far as this study's files and tables tell.", unit="list"
            ),
            "reason": WHY,
        },
        ["key"],
    ),
)
