"""Requests and responses for planted comparisons, with the attributes that a response is to name named in it."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from recenter_utils.inference.rules.address import second_person
from recenter_utils.study import Study
from recenter_utils.tables import table
from tests.compared import GENERATORS, Generator, comparisons_of, explicit_of

#: As many as a page of `comparisons_of` has at most.
ATTRIBUTES = (
    "Keeps bees.",
    "Lives in Porto.",
    "Avoids gluten.",
    "Works as a nurse.",
    "Plays chess.",
    "Has a cat.",
    "Is learning Polish.",
    "Lives on a tight budget.",
)


def worded_of(
    instances: int = 6, seed: int = 0, generators: Mapping[str, Generator] = GENERATORS, most: int = 8
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the tables `comparisons`, `prompts` and `responses`, and comparison_id with `explicit`, as planted."""
    plain = comparisons_of(instances, seed, generators, most)
    place = pl.col("attribute_id").str.split("-").list.last().cast(pl.Int64)
    comparisons = plain.with_columns(attribute=place.replace_strict(dict(enumerate(ATTRIBUTES))))
    explicit = explicit_of(comparisons, seed, generators)
    prompts = [
        {"prompt_id": name, "source": "tests", "text": f"How could I spend evening {name}?"}
        for name in comparisons["prompt_id"].unique(maintain_order=True)
    ]
    responses = {}
    pages = comparisons.join(explicit, on="comparison_id").group_by("page_id", maintain_order=True)
    for number, (_, part) in enumerate(pages, 1):
        first = part.row(0, named=True)
        named = [f"Since {second_person(words)}, take it slowly." for words in part.filter("explicit")["attribute"]]
        texts = {
            "generic": f"Walk by the river for {number} minutes.",
            "personalised": " ".join([f"Sit by the sea for {number} minutes.", *named]),
        }
        for condition, text in texts.items():
            responses[first[f"{condition}_id"]] = {
                "response_id": first[f"{condition}_id"],
                "prompt_id": first["prompt_id"],
                "user_id": first["user_id"] if condition == "personalised" else None,
                "generator": first["generator"],
                "condition": condition,
                "attribute_ids": part["attribute_id"].to_list() if condition == "personalised" else [],
                "text": text,
                "status": "answered",
            }
    return comparisons, table("prompts").frame(prompts), table("responses").frame(list(responses.values())), explicit


def write(study: Study, comparisons: pl.DataFrame, prompts: pl.DataFrame, responses: pl.DataFrame) -> None:
    """Write what comparing responses reads into a study."""
    study.write("prompts", prompts, "simulated")
    study.write("responses", responses, "model")
    study.write("comparisons", comparisons, "model")
