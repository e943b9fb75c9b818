"""What raters answered, and what follows from it: judgments, annotators, consensus, failures, verifiers."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import KIND, SOURCE, USER, Column, Table, column, count, one_of, share, table, text
from recenter_utils.scales import RATER_KINDS, SCALES

ATTRIBUTE_ID = text("The merged attribute.")


def number(description: str, unit: str = "") -> Column:
    """Describe a statistic: null where it is undefined, and `reason` then says why."""
    return column(pl.Float64, description, unit=unit, nullable=True)


_SCORE = "The label as a number; for a model that grades, its graded score."


def judgments(name: str, one_row: str, score: str = _SCORE) -> Table:
    """Return a table of judgments: every rater of every task answers in the same columns.

    score: what the column of that name holds.
    """
    return table(
        name,
        one_row,
        {
            "task": one_of(SCALES, "What was asked."),
            "item_id": text("What was judged: the attribute, pair or comparison."),
            "rater": text("Who answered: an annotator's name in the study, or a model's."),
            "rater_kind": one_of(RATER_KINDS, "What the rater is."),
            "label": text("The answer, one of the task's scale; a preference recoded, 1 generic to 5 personalised."),
            "score": number(score),
            "reason": text("What the rater said about it.", nullable=True),
            "flagged": column(pl.Boolean, "Marked as uncomfortable."),
            "first_shown": one_of(
                ("generic", "personalised"), "Which response stood on the left; null in other tasks.", nullable=True
            ),
            "seconds": column(
                pl.Float64, "Time from the answer before, or from the page's opening.", unit="s", nullable=True
            ),
            "answered_at": column(
                pl.Datetime("ms", "UTC"), "When the answer that holds was given.", unit="UTC", nullable=True
            ),
        },
        ["item_id", "rater"],
    )


TABLES = (
    judgments("quality_judgments", "an annotator's answer on one attribute (stage 1)"),
    table(
        "annotators",
        "an annotator of stage 1, and what speaks for and against their work",
        {
            "rater": text("The annotator's name in the study."),
            "rater_kind": one_of(RATER_KINDS, "A person, or simulated."),
            "n_items": count("Attributes judged; 0 where only check items were answered."),
            "accepted": share("Share answered *Makes sense*.", nullable=True),
            "uncertain": share("Share answered *Maybe*.", nullable=True),
            "rejected": share("Share answered *Doesn't make sense*.", nullable=True),
            "mean_kappa": number("Mean Cohen's kappa with the other annotators who count.", unit="-1 to 1"),
            "reliability": number("Share right by the Dawid-Skene model, over its label prior.", unit="0 to 1"),
            "reliability_low": number("Lower end of its 95% interval over users.", unit="0 to 1"),
            "reliability_high": number("Upper end.", unit="0 to 1"),
            "checks": count("Check items answered."),
            "checks_passed": count("Of these, with an expected label."),
            "flagged": count("Attributes marked as uncomfortable."),
            "seconds": column(pl.Float64, "Median time an answer.", unit="s", nullable=True),
            "stands_apart": text("Why an author should look at this work; null where nothing stands out.", True),
            "excluded": column(pl.Boolean, "Left out of the analyses by study.yaml."),
        },
        ["rater"],
    ),
    table(
        "consensus",
        "an attribute that annotators judged, and what they said together",
        {
            "item_id": ATTRIBUTE_ID,
            "user_id": USER,
            "source": SOURCE,
            "kind": KIND,
            "accepted": count("Annotators who answered *Makes sense*."),
            "uncertain": count("Annotators who answered *Maybe*."),
            "rejected": count("Annotators who answered *Doesn't make sense*."),
            "majority": one_of(
                ("accepted", "uncertain", "rejected"), "The label of more than half; null where none has it.", True
            ),
            "dawid_skene": one_of(
                ("accepted", "uncertain", "rejected"),
                "Most likely label by Dawid-Skene; null where the model is undefined, as with two annotators.",
                nullable=True,
            ),
            "posterior": share("Its probability in that model.", nullable=True),
            "problematic": column(
                pl.Boolean, "At least half answered *Maybe* or *Doesn't make sense* (Table 2's positive class)."
            ),
        },
        ["item_id"],
    ),
    table(
        "attribute_quality",
        "a group of attributes and how people judged them (Figure 2)",
        {
            "group": text("A source, or all of a kind."),
            "kind": KIND,
            "label": one_of(
                ("accepted", "uncertain", "rejected", "problematic"), "The answer; problematic is both others."
            ),
            "n_judgments": count("Judgments."),
            "n_attributes": count("Attributes."),
            "n_users": count("Users: the clusters of the interval."),
            "value": number("Share of the group's judgments with that answer.", unit="0 to 1"),
            "low": number("Lower end of its 95% interval over users.", unit="0 to 1"),
            "high": number("Upper end.", unit="0 to 1"),
            "reason": text("Why a number is missing.", nullable=True),
        },
        ["group", "label"],
    ),
    table(
        "failures",
        "an attribute that an annotator did not accept, and why (Appendix D)",
        {
            "item_id": ATTRIBUTE_ID,
            "user_id": USER,
            "source": SOURCE,
            "kind": KIND,
            "judgment": one_of(("uncertain", "rejected"), "The dominant judgment that was not *accepted*."),
            "inferred_reason": text("The model's reading of why, in free words.", nullable=True),
            "evidence_assessment": text("What it says of the evidence.", nullable=True),
            "category": text("The category after new ones were merged; null where the model gave none.", nullable=True),
            "proposed": text("The category as the model put it.", nullable=True),
            "model": text("Who categorised."),
            "error": text("Why there is no category.", nullable=True),
        },
        ["item_id"],
    ),
    table(
        "failure_shares",
        "a category of failure, its share in one group (Table 5)",
        {
            "group": text("A source, all sources of a kind, or all sources."),
            "category": text("The category."),
            "n": count("Attributes in it."),
            "n_attributes": count("Categorised attributes of the group."),
            "n_users": count("Users they are about: the clusters of the interval."),
            "value": number("Its share of the group's categorised attributes.", unit="0 to 1"),
            "low": number("Lower end of its 95% interval over users.", unit="0 to 1"),
            "high": number("Upper end.", unit="0 to 1"),
            "n_checked": count("Attributes of the group that checkers sorted."),
            "corrected": number("The share, put right by what checkers said of a sample.", unit="0 to 1"),
            "corrected_low": number("Lower end of its 95% interval over users.", unit="0 to 1"),
            "corrected_high": number("Upper end.", unit="0 to 1"),
            "reason": text("Why a number is missing, or what its interval leaves out.", nullable=True),
        },
        ["group", "category"],
    ),
    table(
        "verifier_split",
        "a judged attribute and which part of the verifiers' data it is in",
        {
            "item_id": ATTRIBUTE_ID,
            "user_id": USER,
            "split": one_of(("train", "validation", "test"), "All of a user's attributes are in one part."),
            "problematic": column(pl.Boolean, "Which label people gave it: the positive class."),
        },
        ["item_id"],
    ),
    judgments(
        "verifier_judgments",
        "a verifier's answer on one held-out attribute: accepted or rejected; a trained one's score is how "
        "sure it is of a problem, 0 to 1 (Table 2)",
    ),
    table(
        "verifier_scores",
        "a number that describes one verifier on the held-out attributes (Table 2)",
        {
            "verifier": text("The model with its prompt, the trained encoder, or a baseline."),
            "rater_kind": one_of(
                RATER_KINDS, "A language model (or a rule in its place), or a trained encoder; null: a baseline.", True
            ),
            "metric": one_of(
                ("accuracy", "precision", "recall", "f1", "kappa", "average_precision", "flag_rate"), "Which number."
            ),
            "value": number("The number."),
            "low": number("Lower end of its 95% interval over users."),
            "high": number("Upper end."),
            "n": count("Held-out attributes that the verifier answered on."),
            "reason": text("Why a number is missing.", nullable=True),
        },
        ["verifier", "metric"],
    ),
    table(
        "refinements",
        "an attribute that a verifier flagged, in one round of being revised (verify-and-refine, §4.3)",
        {
            "item_id": text("The attribute and the round: what annotators judge it by."),
            "attribute_id": ATTRIBUTE_ID,
            "user_id": USER,
            "round": count("From 1."),
            "action": one_of(("revised", "withdrawn", "kept", "error"), "What the extractor did with it."),
            "before": text("The attribute before this round."),
            "attribute": text("The attribute after it; null where it was withdrawn.", nullable=True),
            "reason": text("What the extractor says about it.", nullable=True),
            "evidence": column(
                pl.List(pl.Struct({"conversation_id": pl.String, "turn": pl.Int64})),
                "Turns it now rests on: the conversation and the turn in it, from 0.",
                unit="list",
            ),
            "score_before": number("How sure the verifier was that it is a problem.", unit="0 to 1"),
            "score_after": number("How sure it is now; null where it was withdrawn.", unit="0 to 1"),
            "flagged": column(pl.Boolean, "The verifier flags it still.", nullable=True),
            "error": text("Why there is no revision.", nullable=True),
        },
        ["item_id"],
    ),
    judgments("refined_judgments", "a rater's answer on an attribute before or after refinement"),
)
