"""Categories of failure (Table 5), and the rule by which new ones that a model proposes become few (Appendix D)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from recenter_utils.inference.embeddings import MINILM, embed


class Category(NamedTuple):
    """A kind of failure: its name in tables and answers, its title in print, and what belongs to it."""

    name: str
    title: str
    definition: str


#: What every batch is offered. The first four are the paper's (Table 5), in our words. The last has no place there:
#: of annotators who err now and then, some doubt an attribute that is right, and such a case is no failure.
CANDIDATES = (
    Category(
        "overgeneralization",
        "Overgeneralization",
        "A lasting or broad trait is inferred from narrow evidence: one request, one occasion, one situation.",
    ),
    Category(
        "missing_evidence",
        "Missing evidence",
        "The excerpt does not show what the attribute rests on: it is not there, says something else, or is too weak.",
    ),
    Category(
        "task_context_confusion",
        "Task-context confusion",
        "What the task is about is taken for the user: its subject, a role, a story, a draft, a quotation, or words "
        "that the assistant added.",
    ),
    Category(
        "not_standalone",
        "Attribute not standalone",
        "The attribute describes the task or text at hand, or cannot be understood without the chat.",
    ),
    Category(
        "supported",
        "No failure found",
        "The user's own words bear the attribute out; some annotators doubted it all the same.",
    ),
)
#: Where new categories go that hold too few cases.
OTHERS = "others"
SUPPORTED = "supported"
#: Shares that the paper prints for its own 1,225 flagged attributes (Table 5). Context only: nothing is compared.
PUBLISHED: Mapping[str, float] = {
    "overgeneralization": 0.539,
    "missing_evidence": 0.203,
    "task_context_confusion": 0.161,
    "not_standalone": 0.060,
    OTHERS: 0.037,
}
#: Cosine of two categories' names and definitions (MiniLM) from which they are one.
SAME = 0.7
#: Share of the cases, and number of cases, under which a new category is too rare to stand alone.
RARE_SHARE, RARE_CASES = 0.02, 3

_NO_WORD = re.compile(r"[^\w]+|_+")
_CATCH_ALL = ("other", OTHERS, "none", "misc", "miscellaneous", "unknown", "uncategorized", "uncategorised")


def normalised(name: str) -> str:
    """Return a category's name in small letters, its words joined by `_`; what is no word is left out."""
    return "_".join(_NO_WORD.sub(" ", name.casefold()).split())


def titles() -> dict[str, str]:
    """Return how the known categories are called in print, by name."""
    return {category.name: category.title for category in CANDIDATES} | {OTHERS: "Others"}


def title(name: str) -> str:
    """Return how a category is called in print; a new one by its own words."""
    return titles().get(name, name.replace("_", " ").capitalize())


def in_print(names: Iterable[str], publish_text: bool) -> dict[str, str]:
    """Return how each of `names` is called on a page of a study.

    What a model or a checker calls a category of their own may hold words of a chat. Where a study does not publish
    those, such a category is *New category 1* and so on, in the order of `names`.
    """
    coined = [name for name in dict.fromkeys(names) if name not in titles()]
    return titles() | {name: title(name) if publish_text else f"New category {n}" for n, name in enumerate(coined, 1)}


def ordered(categories: pl.Series) -> list[str]:
    """Return the candidates and what else there is, the largest first; `others` and what is no failure come last."""
    counts = {category.name: 0 for category in CANDIDATES} | Counter(categories.to_list())
    return sorted(counts, key=lambda name: (name == SUPPORTED, name == OTHERS, -counts[name], name))


def merged(
    proposed: Sequence[str],
    definitions: Iterable[tuple[str, str]] = (),
    candidates: Sequence[Category] = CANDIDATES,
    same: float = SAME,
    rare_share: float = RARE_SHARE,
    rare_cases: int = RARE_CASES,
) -> dict[str, str]:
    """Return which category each proposed name ends up in.

    Names that are equal when normalised are one. A name or title of a candidate is that candidate. Any other name
    goes to the candidate whose name and definition are nearest to its own, if their MiniLM cosine reaches `same`;
    else to the nearest of the new categories with more cases (or as many, and an earlier name) that it is as near to.
    New categories that then hold fewer than `rare_cases` cases or less than `rare_share` of all become `others`.
    The order of cases, batches and definitions does not matter.

    Args:
        proposed: A category's name for each case, as the model put it.
        definitions: (name, definition) of the new categories, as the model put them, of all batches together.
        candidates: The categories that were offered.
    """
    cases = Counter(normalised(name) for name in proposed)
    known = {normalised(word): category.name for category in candidates for word in (category.name, category.title)}
    known |= dict.fromkeys(_CATCH_ALL, OTHERS)
    target = {name: known[name] for name in cases if name in known}
    new = sorted((name for name in cases if name not in known), key=lambda name: (-cases[name], name))
    if new:
        said = _definitions(definitions)
        texts = [f"{category.title}: {category.definition}" for category in candidates]
        texts += [f"{name.replace('_', ' ')}: {said.get(name, '')}".strip(" :") for name in new]
        vectors = embed(texts, MINILM)
        leaders = [(category.name, vector) for category, vector in zip(candidates, vectors, strict=False)]
        offered = len(leaders)
        for name, vector in zip(new, vectors[offered:], strict=True):
            for group in (leaders[:offered], leaders[offered:]):
                near = np.array([vector @ other for _, other in group]).round(5)
                if len(near) and near.max() >= same:
                    target[name] = group[int(near.argmax())][0]
                    break
            else:
                leaders.append((name, vector))
                target[name] = name
    sizes: Counter[str] = Counter()
    for name, count in cases.items():
        sizes[target[name]] += count
    fewest = max(rare_cases, rare_share * len(proposed))
    kept = {category.name for category in candidates}
    final = {name: goal if goal in kept or sizes[goal] >= fewest else OTHERS for name, goal in target.items()}
    return {name: final[normalised(name)] for name in proposed}


def _definitions(definitions: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return one definition a name: the one given most often, of several the first by alphabet."""
    said: dict[str, Counter[str]] = {}
    for name, definition in definitions:
        said.setdefault(normalised(name), Counter())[" ".join(definition.split())] += 1
    return {name: min(counts, key=lambda text: (-counts[text], text)) for name, counts in said.items()}
