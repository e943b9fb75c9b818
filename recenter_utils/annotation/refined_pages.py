"""Pages for judging attributes before and after refinement: both wordings, and nothing says which is which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from recenter_utils.annotation.pages import Evidence, Item, Page
from recenter_utils.annotation.quality_pages import quality_pages
from recenter_utils.attributes import refinement
from recenter_utils.lots import lot

if TYPE_CHECKING:
    from recenter_utils.study import Study


def refined_pages(study: Study, checks: int = 0) -> list[Page]:
    """Return a page for each user with a flagged attribute: the flagged ones as extracted, and as they were revised.

    The first wording is judged again, also of what was withdrawn: attributes that were chosen because something spoke
    against them fare better when they are judged anew, so a revision must be compared with the same sitting.
    """
    ended = refinement.final(study.frame("refinements"))
    users = ended["user_id"].unique().sort().to_list()
    conversations = study.scan("conversations").filter(pl.col("user_id").is_in(users)).collect()
    merged = study.frame("merged_attributes").filter(pl.col("attribute_id").is_in(ended["attribute_id"].implode()))
    seed = study.settings.seed
    revised: dict[str, list[dict[str, Any]]] = {}
    for row in ended.filter(action="revised").to_dicts():
        revised.setdefault(row["user_id"], []).append(row)
    pages = quality_pages(conversations, study.frame("attributes"), merged, users, seed=seed, checks=checks)
    return [_page(page, revised.get(page.page_id, ()), seed) for page in pages]


def _page(page: Page, revised: Sequence[Mapping[str, Any]], seed: int) -> Page:
    places = {chat.conversation_id: number for number, chat in enumerate(page.conversations)}
    first = [
        item if item.expected else item.model_copy(update={"item_id": refinement.item_id(item.item_id, 0)})
        for item in page.items
    ]
    after = [
        Item(
            item_id=row["item_id"],
            attribute=row["attribute"],
            reason=row["reason"],
            evidence=tuple(
                Evidence(conversation=places[place["conversation_id"]], turn=place["turn"])
                for place in row["evidence"]
                if place["conversation_id"] in places
            ),
        )
        for row in revised
    ]
    return page.model_copy(update={"items": tuple(sorted(first + after, key=lambda item: lot(seed, item.item_id)))})
