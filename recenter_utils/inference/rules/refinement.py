"""Refining by rules: narrow a doubted statement to what the user's own turns say, or withdraw it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from recenter_utils.inference.rules import topics
from recenter_utils.inference.rules.clauses import Trait
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.flag_reason import Reading, Said, stems
from recenter_utils.inference.rules.statements import statements
from recenter_utils.inference.rules.verification import SENTENCE, Support, faults, guess, reading_of, support

#: How sure a statement of the user's must be to take the doubted one's place, and how near in meaning to it.
SURE, NEAR = 0.5, 0.4
#: How well the turns must bear a statement out for its wording to stay.
ENOUGH = 0.65
#: The same for a single request, to a reader who infers from one.
INSISTS = 0.46

_PASSING = re.compile(r"\b(?:again|today|tonight|this (?:week|time)|now|yet|so far|last night)\b", re.I)


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a request that MiniLM is asked about, so that an engine can encode many at once."""
    reading = reading_of(slots)
    return [*reading.texts, *(trait.attribute for trait, _ in _candidates(reading))]


def refine(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `attribute_refinement` for one attribute."""
    reading = reading_of(slots)
    # A doubted statement is read with care, whatever the reader inferred at first; a role stays one that it misses.
    found = support(reading, dials.model_copy(update={"one_off": False, "assistant": False}))
    fault = faults(reading.attribute)
    if found.kind == "stated" and found.score >= ENOUGH and not fault:
        return _revised(reading.attribute, found.why, min(0.95, found.score), found.rests_on)
    if narrowed := _narrowed(reading):
        trait, said = narrowed
        return _revised(trait.attribute, f"The user says: {_short(said.text)}", trait.confidence, [said])
    if found.kind == "shown" and found.score >= ENOUGH and not fault:
        return _revised(reading.attribute, found.why, found.score, found.rests_on)
    if found.kind == "once" and found.score >= INSISTS and dials.one_off and not fault and not guess(reading.attribute):
        return _revised(reading.attribute, found.why, found.score, found.rests_on)
    return _withdrawn(fault or _lack(found))


def _candidates(reading: Reading) -> list[tuple[Trait, Said]]:
    """Return what the user's own sentences say outright of the user, each with its sentence."""
    return [
        (trait, said)
        for said in reading.said
        if said.user and said.own
        for trait in statements(said.text[:SENTENCE])
        if trait.confidence >= SURE and not faults(trait.attribute) and not _PASSING.search(trait.attribute)
    ]


def _narrowed(reading: Reading) -> tuple[Trait, Said] | None:
    found = _candidates(reading)
    if not found:
        return None
    vectors = topics.vectors([reading.attribute, *(trait.attribute for trait, _ in found)])
    near = vectors[1:] @ vectors[0]
    ranked = sorted(
        (
            (round(float(cosine), 3) + 0.3 * bool(stems(trait.attribute) & reading.topic), trait.confidence, place)
            for place, ((trait, _), cosine) in enumerate(zip(found, near, strict=True))
            if cosine >= NEAR or (stems(trait.attribute) & reading.topic and cosine >= NEAR / 2)
        ),
        key=lambda entry: (-entry[0], -entry[1], entry[2]),
    )
    return found[ranked[0][2]] if ranked else None


def _lack(found: Support) -> str:
    if found.kind == "once":
        return f"{found.why} That is too little for something lasting."
    return found.why if found.kind in ("fiction", "hearsay", "nothing") else f"{found.why} That does not bear it out."


def _revised(attribute: str, reason: str, confidence: float, rests_on: Iterable[Said]) -> dict[str, Any]:
    return {
        "action": "revise",
        "attribute": attribute,
        "reason": reason,
        "confidence": round(confidence, 2),
        "evidence_turns": sorted({said.place[1] for said in rests_on}),
    }


def _withdrawn(reason: str) -> dict[str, Any]:
    return {"action": "withdraw", "attribute": "", "reason": reason, "confidence": 0.0, "evidence_turns": []}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= 140 else f'"{text[:139]}…"'
