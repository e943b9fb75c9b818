"""Stage 3: explicit mentions of attributes, the gap they make in ratings, and generators beside judges."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import Table, column, count, one_of, share, table, text
from recenter_utils.codebook.judgments import number
from recenter_utils.codebook.relevance import HIGH, LOW, WHY, flag
from recenter_utils.codebook.responses import COMPARISON_ID, GENERATOR
from recenter_utils.scales import RATER_KINDS

#: Who says whether a response names an attribute: a model that is asked, or the words alone.
DETECTORS = ("llm", "lexical")

#: How a gap is taken; `responses/gaps.py` says what each is.
GAPS = ("pooled", "adjusted", "adjusted_request", "adjusted_page", "mix")

#: The two that a judge's uplift is held against its mention rate with (Figure 7).
UPLIFTS = ("adjusted", "pooled")

_POINTS = "points of the scale"
_UNKNOWN = "without an answer from the detector, which count on neither side."

TABLES: tuple[Table, ...] = (
    table(
        "mentions",
        "a comparison, and whether a detector finds its attribute named in the personalised response (§6.2)",
        {
            "comparison_id": COMPARISON_ID,
            "detector": text("The model that was asked, or `lexical`."),
            "detector_kind": one_of(DETECTORS, "A model that is asked, or the words alone."),
            "explicit": flag("Whether it is named outright; null where there is no usable answer.", nullable=True),
            "quote": text("The words of the response that name it; null where none do or none are given.", True),
            "error": text("Why there is no answer; see `inference/run.py`. Null where there is one.", nullable=True),
        },
        ["comparison_id", "detector"],
    ),
    table(
        "mention_rates",
        "a generator and a detector: how often attributes are named in its responses (§6.2)",
        {
            "generator": text("The model that wrote the responses, or `all generators`."),
            "detector": text("Who looked; see `mentions`."),
            "detector_kind": one_of(DETECTORS, "A model that is asked, or the words alone."),
            "n_comparisons": count("Comparisons of the generator."),
            "n_unknown": count("Of these, without an answer from the detector: they are in no rate."),
            "n_explicit": count("Of the others, with an explicit mention."),
            "value": share("Their share.", nullable=True),
            "low": LOW,
            "high": HIGH,
            "reason": WHY,
        },
        ["generator", "detector"],
    ),
    table(
        "mention_gaps",
        "a rater, a set of responses and a way to take the gap: ratings with an explicit mention less those without "
        "(Figure 6)",
        {
            "rater": text("A model, an annotator, or `all annotators` together."),
            "rater_kind": one_of(RATER_KINDS, "What it is; null: people and simulated annotators together.", True),
            "generator": text("Whose responses: a generator's, or `all generators`."),
            "statistic": one_of(
                GAPS,
                "As it is; within generators; within generators and requests; within single responses; or what the "
                "mix of generators alone makes of the pooled one.",
            ),
            "n_ratings": count("Ratings of comparisons whose mention is known."),
            "n_explicit": count("Of these, with an explicit mention."),
            "n_unknown": count(f"Ratings of comparisons {_UNKNOWN}"),
            "n_within": count("Ratings that the gap rests on: in groups that have both kinds."),
            "value": number("The gap; positive: mentions are rated higher.", unit=_POINTS),
            "low": LOW,
            "high": HIGH,
            "reason": WHY,
        },
        ["rater", "generator", "statistic"],
    ),
    table(
        "generator_judges",
        "a model that writes responses and judges them: how often it names attributes, and what it gives for it "
        "(Figure 7)",
        {
            "model": GENERATOR,
            "statistic": one_of(UPLIFTS, "How the gap is taken; see `mention_gaps`."),
            "n_comparisons": count("Comparisons of responses that it wrote, whose mention is known."),
            "n_explicit": count("Of these, with an explicit mention."),
            "rate": share("Their share.", nullable=True),
            "rate_low": LOW,
            "rate_high": HIGH,
            "n_ratings": count("Ratings that it gave, of all generators' responses, whose mention is known."),
            "uplift": number("Its ratings with an explicit mention less those without.", unit=_POINTS),
            "uplift_low": LOW,
            "uplift_high": HIGH,
            "reason": WHY,
        },
        ["model", "statistic"],
    ),
    table(
        "generator_judge_correlation",
        "a way to take the gap: how mention rates as a generator and uplifts as a judge go together (Figure 7)",
        {
            "statistic": one_of(UPLIFTS, "How the gap is taken; see `mention_gaps`."),
            "n_models": count("Models with both numbers: the points."),
            "value": number("Spearman's correlation over them.", unit="-1 to 1"),
            "low": LOW,
            "high": HIGH,
            "p_two_sided": share("Share of pairings at least as extreme, both ways; exact up to 9 models.", True),
            "p_one_sided": share("Share of pairings with a correlation at least as high.", nullable=True),
            "p_smallest": share("The smallest two-sided p that so many points can give at all.", nullable=True),
            "value_needed": number(
                "The smallest correlation of so many points with a two-sided p of at most .05; null: none, or more "
                "than 9 points.",
                unit="-1 to 1",
            ),
            "pairings": count("Pairings gone through."),
            "exact": column(pl.Boolean, "Whether these are all there are."),
            "reason": WHY,
        },
        ["statistic"],
    ),
)
