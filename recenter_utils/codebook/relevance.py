"""Stage 2: requests, pairs of a request and an attribute, and what raters of every kind said of them."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import USER, Column, column, count, one_of, share, table, text
from recenter_utils.codebook.judgments import judgments, number
from recenter_utils.scales import RATER_KINDS, RELEVANCE

PROMPT_ID = text("The request.")
PAIR_ID = text("The pair: `<prompt_id>/<attribute_id>`.")


def flag(description: str, nullable: bool = False) -> Column:
    """Describe a yes or no of ours (a rater's is a label)."""
    return column(pl.Boolean, description, nullable=nullable)


LOW = number("Lower end of its 95% interval over requests.")
HIGH = number("Upper end.")
WHY = text("Why a number is missing, or what to know of it.", nullable=True)
RATER = text("Who answered: an annotator's name in the study, a model's, a retrieval method's.")
KIND_OF_RATER = one_of(RATER_KINDS, "What the rater is.")

TABLES = (
    table(
        "prompts",
        "a request that attributes are paired with (§5.1)",
        {
            "prompt_id": PROMPT_ID,
            "source": text("Where it comes from, as its file says."),
            "text": text("The request."),
        },
        ["prompt_id"],
    ),
    table(
        "pairing",
        "a request and a user: whether their attributes are judged with it, and if not, why",
        {
            "prompt_id": PROMPT_ID,
            "user_id": USER,
            "n_attributes": count("The user's merged attributes."),
            "n_potential": column(
                pl.Int64,
                "How many of them a model finds potentially relevant; null where it was not asked or gave no answer.",
                unit="count",
                nullable=True,
            ),
            "kept": flag("Passes the coarse filter."),
            "chosen": flag("Drawn for this request: its attributes are judged."),
            "reason": text("Why it did not pass: too few, or the model's error.", nullable=True),
        },
        ["prompt_id", "user_id"],
    ),
    table(
        "pairs",
        "an attribute and a request: would the one change the answer to the other?",
        {
            "pair_id": PAIR_ID,
            "prompt_id": PROMPT_ID,
            "attribute_id": text("The merged attribute, or a benchmark's."),
            "user_id": USER,
            "attribute": text("Its words."),
            "place": count("Its place among the request's attributes, which are pooled over users and shuffled."),
            "benchmark": flag("Whether a benchmark links the two; null outside benchmarks.", nullable=True),
        },
        ["pair_id"],
    ),
    judgments(
        "relevance_judgments",
        "an annotator's or a model's answer on one pair: yes or no (stage 2)",
        "An annotator's label as a number, 1 for yes; a model's graded score, 0 to 1, null where it gave none.",
    ),
    table(
        "relevance_raters",
        "an annotator or model of stage 2, and what became of the pairs put to them",
        {
            "rater": RATER,
            "rater_kind": KIND_OF_RATER,
            "n_pairs": count("Pairs of the study."),
            "n_answered": count("Of these, answered yes or no."),
            "n_yes": count("Of these, yes."),
            "yes_rate": number("Share of yes among the answers.", unit="0 to 1"),
            "low": LOW,
            "high": HIGH,
            "n_unparsed": count("Answers that do not end with the final line."),
            "n_errors": count("Pairs without an answer for other reasons: cut short, refused, too long, the server."),
            "mean_kappa": number("Mean Cohen's kappa with the other annotators who count; null for models."),
            "stands_apart": text("Why an author should look at this work; null where nothing stands out.", True),
            "excluded": flag("Left out of the analyses by study.yaml."),
            "reason": WHY,
        },
        ["rater"],
    ),
    table(
        "relevance_consensus",
        "a pair, what annotators said of it together, and what selectors are held against",
        {
            "pair_id": PAIR_ID,
            "prompt_id": PROMPT_ID,
            "user_id": USER,
            "yes": count("Annotators who answered yes."),
            "no": count("Annotators who answered no."),
            "majority": one_of(RELEVANCE.labels, "The answer of more than half; null where none has it.", True),
            "reference": one_of(
                RELEVANCE.labels,
                "The majority; in a study without annotators, what its benchmark says; null where neither speaks.",
                nullable=True,
            ),
            "reference_by": one_of(
                ("people", "simulated", "people and simulated", "benchmark"),
                "Who made the study's references; `people` only where all annotators who count are people.",
                nullable=True,
            ),
        },
        ["pair_id"],
    ),
    judgments(
        "retrieval_judgments",
        "a retrieval method's choice on one pair at one cut-off; its score is what it ranks by (Figure 4)",
    ),
    table(
        "relevance_agreement",
        "a pair of raters and how far they agree (Figure 3)",
        {
            "rater_a": RATER,
            "rater_b": RATER,
            "kind_a": KIND_OF_RATER,
            "kind_b": KIND_OF_RATER,
            "n": count("Pairs of attribute and request that both answered."),
            "value": number("Cohen's kappa.", unit="-1 to 1"),
            "low": LOW,
            "high": HIGH,
            "reason": WHY,
        },
        ["rater_a", "rater_b"],
    ),
    table(
        "relevance_blocks",
        "a block of the kappa matrix: its mean, or a difference of two means (§5.2)",
        {
            "block": text("Such as `people with people`, or `people with people - people with models`."),
            "n_pairs": count("Pairs of raters in it; of a difference, in both."),
            "value": number("Mean kappa, or the difference of means."),
            "low": LOW,
            "high": HIGH,
            "reason": WHY,
        },
        ["block"],
    ),
    table(
        "relevance_thresholds",
        "a number that tells over-selection from misranking, for one model against one reference",
        {
            "rater": RATER,
            "reference": text("The annotator; `annotators`: the mean over them; `majority`; without any: `benchmark`."),
            "statistic": one_of(
                (
                    *("yes_rate", "reference_rate", "kappa", "kappa_max", "kappa_matched", "auc"),
                    *("kappa_people", "threshold_share"),
                ),
                "Which number; see `stats/thresholds.py`.",
            ),
            "value": number("The number."),
            "low": LOW,
            "high": HIGH,
            "n": count("Pairs that both answered."),
            "reason": WHY,
        },
        ["rater", "reference", "statistic"],
    ),
    table(
        "selector_split",
        "a pair with a reference, and which part of the selectors' data it is in",
        {
            "pair_id": PAIR_ID,
            "prompt_id": PROMPT_ID,
            "split": one_of(("train", "validation", "test"), "All of a request's pairs are in one part."),
            "relevant": flag("Whether the reference is yes: the positive class."),
        },
        ["pair_id"],
    ),
    judgments(
        "selector_judgments",
        "the trained encoder's answer on one held-out pair; its score is how sure it is of yes, 0 to 1 (Table 3)",
    ),
    judgments("grpo_judgments", "the reasoning model's answer on one held-out pair, before or after GRPO (Table 3)"),
    table(
        "grpo_curve",
        "a number of one GRPO run at one step",
        {
            "step": count("Optimiser steps taken."),
            "epoch": number("Passes over the training part."),
            "measure": one_of(
                ("reward", "reward_format", "reward_label", "length", "truncated", "kl", "validation_f1"),
                "What is measured; see `training/grpo.py`.",
            ),
            "value": number("The number."),
            "reason": WHY,
        },
        ["step", "measure"],
    ),
    table(
        "selection_scores",
        "a number that describes one selector on one set of pairs (Figure 4, Table 3)",
        {
            "selector": RATER,
            "rater_kind": one_of(RATER_KINDS, "What it is; null: a baseline that reads nothing.", nullable=True),
            "items": one_of(("all", "test"), "All pairs with a reference, or the trained selectors' test part."),
            "metric": one_of(("accuracy", "precision", "recall", "f1", "kappa", "flag_rate"), "Which number."),
            "value": number("The number."),
            "low": LOW,
            "high": HIGH,
            "n": count("Pairs it is held against."),
            "n_positive": count("Of these, relevant by the reference."),
            "n_unanswered": count("Of these, without an answer: they count as not selected."),
            "reason": WHY,
        },
        ["selector", "items", "metric"],
    ),
    table(
        "left_out_scores",
        "how well an annotator, or a selector, does against the other annotators: a yardstick",
        {
            "left_out": text("The annotator whose answers are not in the reference; `each in turn`: the mean."),
            "selector": text("Who is measured: that annotator (mean: `annotators`), or a selector on the same pairs."),
            "rater_kind": one_of(RATER_KINDS, "What that is; null: a mean over people and simulated annotators.", True),
            "items": one_of(("all", "test"), "All pairs, or the trained selectors' test part."),
            "metric": one_of(("accuracy", "precision", "recall", "f1", "kappa", "flag_rate"), "Which number."),
            "value": number("The number."),
            "low": LOW,
            "high": HIGH,
            "n": count("Pairs on which the others have a majority and the annotator answered; of a mean, their sum."),
            "n_ties": count("Pairs left out because the others are divided."),
            "n_unanswered": count("Pairs that the selector left unanswered: they count as not selected."),
            "reason": WHY,
        },
        ["left_out", "selector", "items", "metric"],
    ),
    table(
        "calibration",
        "how well a judge does once it is calibrated on so many labels",
        {
            "judge": RATER,
            "method": one_of(
                ("as it is", "threshold", "isotonic", "best cut"),
                "How its graded score becomes yes or no; `best cut`: with the tested requests in view, which no "
                "calibration can do better than.",
            ),
            "n_labels": count("Labelled pairs that it was calibrated on."),
            "f1": share("Mean F1 on requests that were not calibrated on.", nullable=True),
            "low": share("2.5% of the repeats have a lower one.", nullable=True),
            "high": share("2.5% have a higher one.", nullable=True),
            "n_repeats": count("Draws with so many labelled pairs and a relevant one among the tested."),
            "n_unanswered": count("Pairs with a reference that it left unanswered: they count as not selected."),
            "reason": WHY,
        },
        ["judge", "method", "n_labels"],
    ),
    table(
        "relevance_rates",
        "an estimate of how often people would say yes, from few of their labels and many of a model's",
        {
            "judge": text("The model; `nobody` where only people's labels are used."),
            "method": one_of(("people only", "prediction-powered", "model only"), "How the rate is estimated."),
            "n_labels": count("Labelled pairs."),
            "value": number("Mean estimate over the repeats.", unit="0 to 1"),
            "low": number("Mean lower end of the 95% intervals that have a width."),
            "high": number("Mean upper end."),
            "width": number("Their mean width."),
            "coverage": number(
                "Share of the repeats whose interval has a width and holds the rate of all labels.", unit="0 to 1"
            ),
            "truth": number("The rate of all labels.", unit="0 to 1"),
            "n_repeats": count("Draws of labelled pairs; a model's own answers are one."),
            "n_without_width": count("Of these, draws whose interval has no width: it says nothing."),
            "n_unanswered": count(
                "Pairs with a reference that it left unanswered: not in its own rate, a no where they predict labels."
            ),
            "reason": WHY,
        },
        ["judge", "method", "n_labels"],
    ),
    table(
        "alternative_annotators",
        "a judge, and whether it may stand in for an annotator (Calderon et al. 2025)",
        {
            "judge": RATER,
            "rater_kind": one_of(RATER_KINDS, "What it is; null: a baseline that reads nothing.", nullable=True),
            "epsilon": column(pl.Float64, "What a cheap judge is allowed to be worse by.", unit="0 to 1"),
            "winning_rate": number(
                "Share of annotators whom it may replace, by a test that takes requests as independent.", unit="0 to 1"
            ),
            "winning_rate_items": number("The same by the published test, which takes pairs as independent.", "0 to 1"),
            "advantage": number("Probability that it is at least as close to the others as an annotator is."),
            "low": LOW,
            "high": HIGH,
            "n_annotators": count("Annotators left out in turn and tested."),
            "n_items": count("Pairs that it and at least two annotators answered."),
            "n_unanswered": count("Pairs that at least two annotators answered and it did not: they are left out."),
            "passes": flag("Whether the winning rate is at least a half; null where the test is undefined.", True),
            "reason": WHY,
        },
        ["judge"],
    ),
)
