"""Pages for comparing responses, made from a study's tables: a page a request with two responses (§6.1, Appendix G)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from recenter_utils import lots
from recenter_utils.annotation.pages import Item, Page
from recenter_utils.annotation.quality_pages import CHECK_PREFIX
from recenter_utils.errors import RecenterError
from recenter_utils.scales import PREFERENCE

if TYPE_CHECKING:
    from recenter_utils.study import Study

#: Words of a response that a check item quotes at most, and what the screen does not show of Markdown.
_QUOTED = 12
_MARKS = re.compile(r"^[\s#>*_`|~+.-]+|[*_`|~]+")


def preference_pages(
    comparisons: pl.DataFrame, prompts: pl.DataFrame, responses: pl.DataFrame, *, seed: int, checks: int = 0
) -> list[Page]:
    """Return a page for each `page_id` of the comparisons, its attributes in their order.

    Pages stand in an order drawn with the seed, so that the first ones, which a pilot judges, are of any request and
    generator. Who wrote the responses and whose attributes these are stands nowhere on a page; which response is on
    its left is drawn when it is handed out. An item's id is its `comparison_id`.

    Args:
        comparisons: The table `comparisons`.
        prompts: The table `prompts`.
        responses: The table `responses`.
        seed: Where draws start.
        checks: Check items over all pages, one a page at most. No attribute is certain to make one response the
            better, so a check item asks for an answer in plain words (an instructional manipulation check, Oppenheimer
            et al. 2009): strongly for the response that begins with certain words, the generic one and the
            personalised one in turn, then for no preference. Always giving the same answer fails most.
    """
    asked = dict(prompts.select("prompt_id", "text").iter_rows())
    texts = dict(responses.select("response_id", "text").iter_rows())
    own = {str(name): part for (name,), part in comparisons.group_by("page_id", maintain_order=True)}
    order = lots.drawn(own, None, seed, "preference")
    checked = lots.drawn(own, checks, seed, "preference checks")
    pages = []
    for name in order:
        part = own[name]
        generic, personalised = texts[part["generic_id"][0]], texts[part["personalised_id"][0]]
        items = [Item(item_id=item, attribute=said) for item, said in part["comparison_id", "attribute"].iter_rows()]
        if name in checked:
            extra = _check(name, generic, personalised, checked.index(name))
            items.insert(lots.place(seed, "place", name) % (len(items) + 1), extra)
        prompt = asked[part["prompt_id"][0]]
        pages.append(Page(page_id=name, prompt=prompt, generic=generic, personalised=personalised, items=tuple(items)))
    return pages


def study_pages(study: Study, checks: int = 0) -> list[Page]:
    """Return the pages of a study, from its tables as they are now; raise where there is nothing to compare."""
    if not study.table_path("comparisons").is_file():
        raise RecenterError(
            f"Study '{study.name}' has no responses to compare yet: 'recenter run {study.reference} --only responses' "
            "makes them."
        )
    tables = (study.frame(name) for name in ("comparisons", "prompts", "responses"))
    pages = preference_pages(*tables, seed=study.settings.seed, checks=checks)
    if not pages:
        raise RecenterError(f"Study '{study.name}' has no two responses to compare (see its page 'Responses').")
    return pages


def _check(page: str, generic: str, personalised: str, number: int) -> Item:
    """Return check item `number`, whose expected label is as it is stored: generic to personalised."""
    lowest, _, neither, _, highest = PREFERENCE.labels
    quotes = {lowest: _opening(generic, personalised), highest: _opening(personalised, generic), neither: ""}
    label = list(quotes)[number % len(quotes)]
    if quotes[label]:
        asks = f"strongly prefer the response that begins with “{quotes[label]}”."
    else:  # or the two begin alike
        asks, label = f"answer {PREFERENCE.words[neither]}.", neither
    return Item(
        item_id=f"{CHECK_PREFIX}{page}",
        attribute=f"(No attribute: to show that you read every line, {asks})",
        expected=(label,),
    )


def _opening(text: str, other: str) -> str:
    """Return the words by which a text begins, up to the first that the other text does not begin with; or nothing."""
    own, theirs = (list(filter(None, (_MARKS.sub("", word) for word in said.split()))) for said in (text, other))
    for length in range(3, _QUOTED + 1):
        if own[:length] != theirs[:length]:
            return " ".join(own[:length])
    return ""
