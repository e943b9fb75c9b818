"""Stage 3: reward models: what they predict, and how well they predict people (§6.3)."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import column, count, one_of, table, text
from recenter_utils.codebook.judgments import judgments, number
from recenter_utils.codebook.relevance import WHY
from recenter_utils.scales import RATER_KINDS

#: What the numbers of `reward_scores` belong to.
ANALYSES = ("models", "ceiling", "curve", "annotators")

#: Whose ratings a reward model learned from.
TEACHERS = ("pooled", "own", "another")

#: The numbers. A mean squared error is in squared points of the five-point scale.
MEASURES = (
    "spearman",
    "pearson",
    "mse",
    "mse_gain",
    "reliability",
    "ceiling",
    "own_less_pooled",
    "own_less_exchanged",
)

TABLES = (
    judgments(
        "reward_judgments",
        "a reward model's rating of one comparison, predicted by one that learned from other requests alone (§6.3)",
        "3 plus what the personalised response is worth less the generic one, held to 1 to 5.",
    ),
    table(
        "reward_scores",
        "a number that says how well annotators' ratings are predicted, on requests never trained on (§6.3)",
        {
            "analysis": one_of(
                ANALYSES,
                "`models`: reward models and judges beside annotators' mean rating; `ceiling`: what their noise lets "
                "anybody reach there; `curve`: a reward model that learned from fewer ratings; `annotators`: reward "
                "models beside a single annotator's ratings.",
            ),
            "model": text("Who predicts, as in `rater` of the judgments; null: the ceiling, which is nobody's.", True),
            "rater_kind": one_of(RATER_KINDS, "What it is; null: the ceiling.", nullable=True),
            "learned_from": one_of(
                TEACHERS,
                "Whose ratings it learned from. `pooled`: the mean of all who count; `own`: those of the annotator who "
                "is predicted; `another`: those of one other annotator, a mean over these.",
                nullable=True,
            ),
            "annotator": text(
                "Whose ratings are predicted; null: the mean of all who count, or in `annotators` a mean over them.",
                nullable=True,
            ),
            "n_ratings": column(
                pl.Int64,
                "Ratings that it learned from, a mean over the parts of the requests; null where it learned none.",
                unit="count",
                nullable=True,
            ),
            "measure": one_of(
                MEASURES,
                "Which number. `mse_gain`: the squared error of the training parts' mean rating less its own; "
                "`reliability`: share of the variance of mean ratings that annotators share; `ceiling`: its square "
                "root; `own_less_pooled`: a difference of Spearman correlations; `own_less_exchanged`: the product of "
                "two annotators' Pearson correlations with a model each, less that with the models exchanged, a mean "
                "over the others.",
            ),
            "value": number("The number."),
            "low": number("Lower end of its 95% interval over requests; in `curve` the lowest of the draws."),
            "high": number("Upper end; in `curve` the highest of the draws."),
            "n": count("Comparisons that it rests on."),
            "reason": WHY,
        },
        ["analysis", "model", "learned_from", "annotator", "n_ratings", "measure"],
    ),
)
