"""Stage 3: what the preferences come to: ratings by generator, judges beside people, models of them, planning."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import Table, column, count, one_of, share, table, text
from recenter_utils.codebook.judgments import number
from recenter_utils.codebook.relevance import HIGH, LOW, WHY, flag
from recenter_utils.scales import RATER_KINDS

#: What is computed from ratings; `responses/quality.py` says how.
RATING_STATISTICS = ("mean", "no_better", "no_better_by_mean", "inflation")
LIKENESS_STATISTICS = ("spearman", "spearman_left_out", "spearman_pairs", "linear_kappa", "quadratic_kappa")

#: What a row of `preference_effects` is about; see `responses/effects.py`.
EFFECTS = ("level", "contrast", "spread")

#: What a next study may want to see; see `responses/planning.py`.
GAP_KINDS = ("generator against 3", "two generators", "mentions, adjusted")

#: Where ratings differ; the outermost first, but annotators cross the others.
FACTORS = ("request", "user", "page", "comparison", "annotator", "residual")

_POINTS = "points of the scale"

TABLES: tuple[Table, ...] = (
    table(
        "preference_scores",
        "a number that describes how one rater rates the responses of one generator or of all (Figure 5, Table 6)",
        {
            "rater": text("A model, an annotator, or `all annotators` together."),
            "rater_kind": one_of(RATER_KINDS, "What it is; null: people and simulated annotators together.", True),
            "generator": text("Whose responses: a generator's, or `all generators`."),
            "statistic": one_of(
                (*RATING_STATISTICS, *LIKENESS_STATISTICS),
                "Mean rating; share of ratings of 3 or less, and the same of comparisons by the annotators' mean; "
                "a judge's mean less the annotators' on the same comparisons; correlation with the annotators' mean "
                "(an annotator's: with that of the others), a judge's with the means that leave one annotator out, "
                "averaged over whom, and among annotators over pairs of them; weighted kappa "
                "with each annotator, averaged.",
            ),
            "value": number("The number."),
            "low": LOW,
            "high": HIGH,
            "low_pages": number("Lower end of its 95% interval over pages, as if those of a request were apart."),
            "high_pages": number("Upper end."),
            "n": count("Comparisons that it rests on."),
            "n_ratings": count("Ratings of the rater that it rests on."),
            "n_unanswered": count("Comparisons of the generator that the rater, or all annotators, left unanswered."),
            "reason": WHY,
        },
        ["rater", "generator", "statistic"],
    ),
    table(
        "preference_effects",
        "a term of the mixed model of annotators' ratings, and of the ordered model that checks it",
        {
            "effect": one_of(
                EFFECTS,
                "A generator's mean rating less 3; its difference from the mean of all generators; the standard "
                "deviation between the groups of a factor.",
            ),
            "term": text("The generator, or the factor."),
            "value": number(
                "By the mixed model: annotators, requests, their users, pages and comparisons as random.", _POINTS
            ),
            "low": number("Lower end of its 95% interval: Satterthwaite's t; of a spread, the profile likelihood's."),
            "high": number("Upper end."),
            "freedom": number("Degrees of freedom of the t."),
            "ordered": number("The same by the ordered model, with these annotators as fixed effects.", "log odds"),
            "ordered_low": number(
                "Lower end of its 95% interval, robust to what a request's ratings share; null where requests "
                "are fewer than twice the model's numbers."
            ),
            "ordered_high": number("Upper end."),
            "same_sign": flag("Whether both estimates have one sign.", nullable=True),
            "same_verdict": flag(
                "Whether both intervals leave out 0 on one side, or both hold it; null where the ordered model's "
                "errors rest on too few requests.",
                nullable=True,
            ),
            "n_ratings": count("Annotators' ratings that both models are fitted on."),
            "reason": WHY,
        },
        ["effect", "term"],
    ),
    table(
        "variance_components",
        "where annotators' ratings differ from each other, beyond generators: the basis of planning",
        {
            "factor": one_of(FACTORS, "Between what: the residual is an annotator's own, of a single comparison."),
            "deviation": number("Standard deviation.", unit=_POINTS),
            "low": number("Lower end of its 95% profile likelihood interval.", unit=_POINTS),
            "high": number("Upper end.", unit=_POINTS),
            "n_groups": count("How many of these the study has; of the residual, ratings."),
            "reason": WHY,
        },
        ["factor"],
    ),
    table(
        "designs",
        "a design of a next study, and how often it would see a gap of some size",
        {
            "gap_kind": one_of(
                GAP_KINDS,
                "One generator's mean rating against 3, for annotators in general; the difference of two generators; "
                "ratings with an explicit mention less those without, adjusted for generators.",
            ),
            "gap": column(pl.Float64, "Its size; at 0, seeing it is a false alarm.", unit=_POINTS),
            "requests": count("Requests, each of which every generator answers for each of its users."),
            "users": count("Users a request, each of one request only."),
            "annotators": count("Annotators, each of whom judges all pages."),
            "pages": count("Pages that each annotator judges: requests × users a request × generators."),
            "comparisons": count("Attributes a page, each of which is rated."),
            "ratings": count("Ratings that it takes: pages × attributes a page × annotators."),
            "power": share("Share of simulated studies whose 95% interval leaves out 0 on the right side.", True),
            "low": share("Lower end of the share's 95% Monte Carlo interval.", True),
            "high": share("Upper end.", True),
            "smallest": number(
                "The gap from which on it is seen as often as study.yaml asks for (`planning.power`).", _POINTS
            ),
            "n_studies": count("Studies simulated."),
            "reason": WHY,
        },
        ["gap_kind", "gap", "requests", "users", "annotators"],
    ),
)
