"""Does a response name an attribute of its reader? (§6.2) By the words of what it says of the reader, and by meaning.

Unlike the lexical check, which it can contradict, it takes other words for the same thing, by nearness to the
attribute, and does not take the same words in another sense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recenter_utils.inference.rules import topics
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.naming import Claim, claims, mentions
from recenter_utils.inference.rules.text import clean, spell_out
from recenter_utils.inference.tasks import stands_in

#: Cosine of a phrase and the attribute from which it says the same in other words, and the least it must have where it
#: says it in the attribute's own.
SAME, SENSE = 0.62, 0.35
#: Characters of an attribute and of a phrase that are read.
READ = 200


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a pair that MiniLM is asked about, so that an engine can encode many at once."""
    return [_statement(slots), *(claim.phrase[:READ] for claim in claims(slots["response"]))]


def find_mention(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `mention` for one attribute and one response."""
    said = claims(slots["response"])
    if not said:
        return {"quote": "", "explicit": False}
    vectors = topics.vectors(wanted(slots, dials))
    # Rounded, since a vector's last digits depend on what it was encoded together with.
    near = [round(float(cosine), 3) for cosine in vectors[1:] @ vectors[0]]
    best = max(range(len(said)), key=near.__getitem__)
    least = SENSE if mentions(slots["response"], slots["attribute"]) else SAME
    return {"quote": _quote(said[best], slots["response"]), "explicit": near[best] >= least}


def _statement(slots: Mapping[str, Any]) -> str:
    return spell_out(clean(slots["attribute"])).strip()[:READ] or " "


def _quote(claim: Claim, response: str) -> str:
    """Return the claim's sentence as it stands in the response: whole, or up to a link or quotation left out of it."""
    words = claim.sentence.split()
    starts = (" ".join(words[:end]) for end in range(len(words), 0, -1))
    return next((start for start in starts if stands_in(start, response)), "")
