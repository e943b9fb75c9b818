"""Which of two responses serves a person better, given one thing that is known of them? (§6.1)

Read is how far each response takes the attribute up: by what common knowledge says that answers for such people hold,
by the form that they wish for, or by words of the attribute that the request has not. That it names the attribute
outright is another matter, and worth to a judge what its dials say. Which of the two was written for the person, nobody
says: it is taken to be the one that takes the attribute up more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from recenter_utils.inference.rules.bearing import stems
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.generation_parts import point, texts
from recenter_utils.inference.rules.knowledge import Asked, Known, asked, known, request_text, statement_text
from recenter_utils.inference.rules.naming import mentions
from recenter_utils.inference.rules.text import clean, sentences
from recenter_utils.lots import uniform

#: Characters of a response that are read.
READ = 8000
#: Points that a response is worth which takes an attribute up as far as can be.
REACH = 1.0
#: How far a response takes an attribute up: by advice for this very subject, by advice for any, by its words alone.
OWN, GENERAL, WORDS = 1.0, 0.6, 0.5
#: Share of an advice's words by which it is known again.
ALIKE = 0.6
#: Words of a short answer, beside those of the other one.
SHORTER = 0.8

_SHORT = re.compile(r"\b(?:short|brief|concise|to the point)\b", re.I)
#: Forms that people wish for, and how a line in such a form begins.
_FORMS = (
    (re.compile(r"(?<!\bno )\b(?:bullets?|bullet points?|lists?)\b", re.I), re.compile(r"^\s*[-*•] ", re.M)),
    (re.compile(r"\btables?\b", re.I), re.compile(r"^\s*\|", re.M)),
    (re.compile(r"\b(?:numbered|step by step)\b", re.I), re.compile(r"^\s*\d+[.)] ", re.M)),
)
_MIDDLE, _LOWEST, _HIGHEST = 3, 1, 5


class Reading(NamedTuple):
    """How far a response takes an attribute up, 0 to 1, and whether it names it outright."""

    uptake: float
    named: bool

    @property
    def seen(self) -> float:
        """How much of the attribute shows in it."""
        return self.uptake + self.named


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts that MiniLM is asked about, so that an engine can encode many at once."""
    return [request_text(slots["prompt"]), statement_text(slots["attribute"])]


def judge_preference(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `preference` for one attribute and two responses.

    What lies between two ratings is rounded up or down by lot, so that a judge's mean shows what its dials are. The lot
    is of the judge, the attribute and the two texts, whichever of them is A.
    """
    request, statement = asked(request_text(slots["prompt"])), known(statement_text(slots["attribute"]))
    first, second = (clean(slots[name])[:READ] for name in ("response_a", "response_b"))
    a, b = read(first, second, request, statement), read(second, first, request, statement)
    leans = REACH * (b.uptake - a.uptake) + dials.mention_weight * (b.named - a.named)
    leans += dials.generosity * ((b.seen > a.seen) - (a.seen > b.seen)) - dials.position
    lot = uniform(0, "preference", dials.model_dump_json(), request.text, statement.text, *sorted((first, second)))
    rating = math.floor(_MIDDLE + leans + (lot if first <= second else 1 - lot))
    return {"reasoning": f"A {_said(a)}; B {_said(b)}.", "rating": min(max(rating, _LOWEST), _HIGHEST)}


def read(text: str, other: str, request: Asked, statement: Known) -> Reading:
    """Read one response for an attribute, beside the other one."""
    found = max(_advice(text, request, statement), _form(text, other, statement), _words(text, request, statement))
    return Reading(found, mentions(text, statement.text))


def _advice(text: str, request: Asked, statement: Known) -> float:
    """Return how well a response advises such a person, by common knowledge of what suits whom."""
    held = _lines(text)
    subjects = {request.kind, *request.subjects}
    best = 0.0
    for matter in statement.matters:
        for subject, says in texts()["matters"].get(matter, {}).items():
            worth = GENERAL if subject == "any" else OWN if subject in subjects else 0.0
            if worth > best and any(_holds(held, point(one).says) for one in says):
                best = worth
    return best


def _form(text: str, other: str, statement: Known) -> float:
    """Return 1 for a response in the form that a statement wishes for, where the other one is not."""
    if "form of answers" not in statement.matters:
        return 0.0
    if _SHORT.search(statement.text) and len(text.split()) < SHORTER * len(other.split()):
        return 1.0
    return float(
        any(
            words.search(statement.text) and len(lines.findall(text)) > len(lines.findall(other))
            for words, lines in _FORMS
        )
    )


def _words(text: str, request: Asked, statement: Known) -> float:
    """Return how much of the attribute's own words a response holds where it does not speak of its reader."""
    own = stems(statement.text) - stems(request.text)
    if not own:
        return 0.0
    held = {stem for stem, sentence in _said_where(text) if stem in own and not mentions(sentence, statement.text)}
    return WORDS * len(held) / len(own)


def _holds(lines: tuple[frozenset[str], ...], says: str) -> bool:
    told = stems(says)
    return bool(told) and any(len(told & line) >= ALIKE * len(told) for line in lines)


@lru_cache(maxsize=4096)
def _lines(text: str) -> tuple[frozenset[str], ...]:
    return tuple(filter(None, map(stems, text.splitlines())))


@lru_cache(maxsize=4096)
def _said_where(text: str) -> tuple[tuple[str, str], ...]:
    """Return each word of a text, cut to what its forms share, with every sentence that holds it."""
    return tuple((stem, sentence) for sentence in sentences(text) for stem in sorted(stems(sentence)))


def _said(found: Reading) -> str:
    does = "takes it up" if found.uptake >= GENERAL else "touches it" if found.uptake else "does nothing about it"
    return f"{does} and names it" if found.named else does
