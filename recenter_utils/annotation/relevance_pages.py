"""Pages for judging relevance, made from a study's tables: a page a request with its pairs (§5.1, Appendix G)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from recenter_utils import lots
from recenter_utils.annotation.pages import Item, Page
from recenter_utils.annotation.quality_pages import CHECK_PREFIX
from recenter_utils.errors import RecenterError
from recenter_utils.scales import RELEVANCE

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: A page has one check item at most for so many attributes.
_APART = 10


def relevance_pages(prompts: pl.DataFrame, pairs: pl.DataFrame, *, seed: int, checks: int = 0) -> list[Page]:
    """Return a page for each request that has pairs, in the order of `prompts`; its attributes in order of `place`.

    Which user an attribute is of stands nowhere on a page. An item's id is its `pair_id`.

    Args:
        prompts: The table `prompts`.
        pairs: The table `pairs`.
        seed: Where the draws of check items start.
        checks: Check items over all pages. No attribute is certain to be irrelevant, so a check item asks for one of
            the answers in plain words (an instructional manipulation check, Oppenheimer et al. 2009), YES and NO in
            turn: always giving the same answer passes half. A page has one for ten attributes at most, so that
            there may be fewer.
    """
    own = {name: part for (name,), part in pairs.sort("place").group_by("prompt_id", maintain_order=True)}
    shown = [row for row in prompts.to_dicts() if row["prompt_id"] in own]
    extra = _checks({row["prompt_id"]: len(own[row["prompt_id"]]) for row in shown}, seed, checks)
    pages = []
    for row in shown:
        name = row["prompt_id"]
        items = [Item(item_id=pair, attribute=words) for pair, words in own[name]["pair_id", "attribute"].iter_rows()]
        for place, item in extra.get(name, []):
            items.insert(place, item)
        pages.append(Page(page_id=name, prompt=row["text"], items=tuple(items)))
    return pages


def study_pages(study: Study, checks: int = 0) -> list[Page]:
    """Return the pages of a study, from its tables as they are now; raise where there is no pair to judge."""
    if not all(study.table_path(name).is_file() for name in ("prompts", "pairs")):
        if study.settings.pairing.prompts is None:
            raise RecenterError(
                f"Study '{study.name}' has no requests: name a file of them as pairing.prompts in "
                f"{study.folder / 'study.yaml'}."
            )
        raise RecenterError(
            f"Study '{study.name}' has no pairs of requests and attributes yet: "
            f"'recenter run {study.reference} --only pairs' makes them."
        )
    pairs = study.frame("pairs")
    if pairs.is_empty():
        why = "no user's attributes meet one" if study.settings.pairing.prompts else "name them in pairing.prompts"
        raise RecenterError(f"Study '{study.name}' has no requests to judge ({why}; see its page 'Pairs').")
    return relevance_pages(study.frame("prompts"), pairs, seed=study.settings.seed, checks=checks)


def _checks(sizes: dict[str, int], seed: int, count: int) -> dict[str, list[tuple[int, Item]]]:
    """Return check items by page, each with its place among the page's items; spread evenly over the pages."""
    slots = [(turn, name) for name, size in sizes.items() for turn in range(max(1, size // _APART))]
    order = sorted(slots, key=lambda slot: (slot[0], lots.place(seed, slot[1], str(slot[0]))))[:count]
    found: dict[str, list[tuple[int, Item]]] = {}
    for number, (turn, name) in enumerate(order):
        label = RELEVANCE.labels[number % len(RELEVANCE.labels)]
        item = Item(
            item_id=f"{CHECK_PREFIX}{name}:{turn}",
            attribute=f"(No attribute: to show that you read every line, answer {RELEVANCE.words[label]}.)",
            expected=(label,),
        )
        place = lots.place(seed, "place", name, str(turn)) % (sizes[name] + 1)
        found.setdefault(name, []).append((place, item))
    return found
