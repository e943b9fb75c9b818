"""What a reader looks around in: attributes with what they rest on, responses with how they were rated."""

from __future__ import annotations

import polars as pl

from recenter_utils.attributes.snippets import snippets
from recenter_utils.scales import PEOPLE

#: Most characters of the turns that an attribute rests on, all together.
EVIDENCE = 400


def attributes_with_evidence(
    merged: pl.DataFrame, attributes: pl.DataFrame, conversations: pl.LazyFrame, consensus: pl.DataFrame
) -> pl.DataFrame:
    """Return a row an attribute: user, attribute, confidence, who accepted it, why it was read, and the user's words.

    merged, attributes and consensus: the tables. conversations: a scan of the table; what they rest on is read.
    Column `accepted_by` reads "2 of 3"; null where nobody judged the attribute.
    """
    said = snippets(merged, *cited(merged, attributes, conversations), context=0, longest=EVIDENCE)
    evidence = [
        " … ".join(
            " ".join(turn["content"].split()) for turn in row["snippet"] if turn["turn"] in row["evidence_turns"]
        )
        for row in said.iter_rows(named=True)
    ]
    judged = pl.sum_horizontal("accepted", "uncertain", "rejected")
    counts = consensus.select("item_id", accepted_by=pl.format("{} of {}", "accepted", judged))
    return (
        merged.select("attribute_id", "user_id", "attribute", confidence=pl.col("confidence").round(2))
        .join(counts, left_on="attribute_id", right_on="item_id", how="left", maintain_order="left")
        .with_columns(why_it_was_read=said["reason"], words_of_the_user=pl.Series(evidence, dtype=pl.String))
        .drop("attribute_id")
        .rename({"user_id": "user"})
    )


def cited(
    merged: pl.DataFrame, attributes: pl.DataFrame, conversations: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of the tables `attributes` and `conversations` that some merged attributes rest on."""
    members = merged.select(attribute_id=pl.col("members").explode()).unique()
    own = attributes.join(members, on="attribute_id", how="semi")
    wanted = pl.col("conversation_id").is_in(own["conversation_id"].unique().implode())
    return own, conversations.filter(wanted).collect()


def pages_with_ratings(
    responses: pl.DataFrame, comparisons: pl.DataFrame, prompts: pl.DataFrame, judgments: pl.DataFrame, requests: int
) -> pl.DataFrame:
    """Return pages to show: all generators' responses to so many requests, with their mean ratings in a line.

    responses, comparisons and prompts: the tables. judgments: the table `preference_judgments`, without whom the study
    excludes. Columns: request, attributes (list), generator, generic, personalised, fold: request, generator and mean
    ratings of annotators and of judges.
    """
    texts = responses.select("response_id", "text")
    pages = (
        comparisons.group_by("page_id", "prompt_id", "user_id", "generator", "generic_id", "personalised_id")
        .agg(attributes=pl.col("attribute").sort_by("attribute_id"))
        .join(texts.rename({"text": "generic"}), left_on="generic_id", right_on="response_id")
        .join(texts.rename({"text": "personalised"}), left_on="personalised_id", right_on="response_id")
        .join(prompts.select("prompt_id", request="text"), on="prompt_id")
        .sort("prompt_id", "user_id", "generator")
    )
    shown = pages["prompt_id"].unique(maintain_order=True).head(requests)
    means = (
        judgments.join(comparisons.select("comparison_id", "page_id"), left_on="item_id", right_on="comparison_id")
        .group_by("page_id", people=pl.col("rater_kind").is_in(PEOPLE))
        .agg(mean=pl.col("score").mean())
    )
    by_side = {
        name: means.filter(people=side).select("page_id", pl.col("mean").alias(name))
        for name, side in (("annotators", True), ("judges", False))
    }
    rated = pages.filter(pl.col("prompt_id").is_in(shown.implode()))
    for frame in by_side.values():
        rated = rated.join(frame, on="page_id", how="left", maintain_order="left")
    folds = [
        f"{row['request'][:60]}{'…' * (len(row['request']) > 60)} · {row['user_id']} · {row['generator']}"
        + "".join(f" · {name} {row[name]:.1f}" for name in by_side if row[name] is not None)
        for row in rated.iter_rows(named=True)
    ]
    columns = ("request", "attributes", "generator", "generic", "personalised")
    return rated.select(*columns, fold=pl.Series(folds, dtype=pl.String))
