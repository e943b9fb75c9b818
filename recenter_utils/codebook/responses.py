"""Stage 3: responses, comparisons of a generic and a personalised one, and what raters of every kind prefer."""

from __future__ import annotations

import polars as pl

from recenter_utils.codebook.columns import USER, column, count, one_of, share, table, text
from recenter_utils.codebook.judgments import judgments, number
from recenter_utils.codebook.relevance import HIGH, KIND_OF_RATER, LOW, PROMPT_ID, RATER, WHY, flag

CONDITIONS = ("generic", "personalised")

#: What became of a request for a response.
STATUSES = ("answered", "refused", "empty", "failed")

COMPARISON_ID = text("The comparison: `<page_id>/<attribute_id>`.")
GENERATOR = text("The model that wrote the responses.")

TABLES = (
    table(
        "responses",
        "a response that a generator was asked for (§6.1)",
        {
            "response_id": text("The response."),
            "prompt_id": PROMPT_ID,
            "user_id": text("Whose attributes it was given; null for a generic one, which is given none.", True),
            "generator": GENERATOR,
            "condition": one_of(CONDITIONS, "Whether it was given attributes."),
            "attribute_ids": column(pl.List(pl.String), "The attributes it was given, in this order.", unit="list"),
            "text": text("The response; null where there is none. One that was cut short is none.", nullable=True),
            "status": one_of(STATUSES, "What became of it: a refusal in words is `refused` and keeps its text."),
            "error": text(
                "Why there is no text: `refused` by the server, or why it failed (`inference/run.py`).", True
            ),
        },
        ["response_id"],
    ),
    table(
        "generation",
        "a generator, and what became of the pairs of a request and a user put to it: each counts once, in this order",
        {
            "generator": GENERATOR,
            "n_pages": count("Pairs of a request and a user with relevant attributes, drawn for the study."),
            "n_compared": count("Of these, with two responses that can be compared."),
            "n_failed": count("Without: one of the two was cut short, too long to ask for, or lost to the server."),
            "n_refused": count("Without: one of the two is a refusal."),
            "n_empty": count("Without: one of the two is empty."),
            "n_identical": count("Without: the two are the same text, to white space."),
            "words_generic": number(
                "Mean length of the generic responses of its pairs that are compared.", unit="words"
            ),
            "words_personalised": number("Of the personalised ones.", unit="words"),
        },
        ["generator"],
    ),
    table(
        "comparisons",
        "a personalised response beside a generic one, to be judged for one attribute (§6.1)",
        {
            "comparison_id": COMPARISON_ID,
            "page_id": text("The page it stands on: a request, a user and a generator, under a name that tells none."),
            "prompt_id": PROMPT_ID,
            "user_id": USER,
            "generator": GENERATOR,
            "attribute_id": text("The attribute that it is judged for."),
            "attribute": text("Its words."),
            "generic_id": text("The generic response."),
            "personalised_id": text("The personalised one."),
        },
        ["comparison_id"],
    ),
    judgments(
        "preference_judgments",
        "an annotator's or a model's answer on one comparison, 1 generic to 5 personalised (stage 3)",
        "The label as a number, 1 to 5.",
    ),
    judgments(
        "swapped_judgments",
        "a model's second answer on a comparison, with the responses in the other order (position bias)",
        "The label as a number, 1 to 5.",
    ),
    table(
        "preference_raters",
        "an annotator or model of stage 3, and what became of the comparisons put to them",
        {
            "rater": RATER,
            "rater_kind": KIND_OF_RATER,
            "n_comparisons": count("Comparisons of the study."),
            "n_answered": count("Of these, answered."),
            "mean": number("Mean rating.", unit="1 to 5"),
            "low": LOW,
            "high": HIGH,
            "n_unparsed": count("Answers of another shape than asked for."),
            "n_errors": count("Comparisons without an answer for other reasons."),
            "mean_spearman": number("Mean Spearman correlation with the other annotators who count; null for models."),
            "stands_apart": text("Why an author should look at this work; null where nothing stands out.", True),
            "excluded": flag("Left out of the analyses by study.yaml."),
            "reason": WHY,
        },
        ["rater"],
    ),
    table(
        "position_bias",
        "a model, and how far the order of the two responses decides what it says",
        {
            "rater": RATER,
            "n": count("Comparisons that it judged in both orders."),
            "bias": number("Mean points by which it leans to the response shown first.", unit="-2 to 2"),
            "low": LOW,
            "high": HIGH,
            "same": share("Share of these with the same recoded rating in both orders.", nullable=True),
            "turned": share("Share where it prefers one response in one order, the other in the other.", nullable=True),
            "reason": WHY,
        },
        ["rater"],
    ),
)
