"""Verifying by rules: how well do the user's own turns bear a statement out? Reads snippet, attribute and reason.

With the annotators' instruction a model accepts what it would have inferred itself. The criteria make it stricter: a
single request is no trait, the assistant's word no evidence, and a statement has to stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recenter_utils.inference.rules import topics
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.flag_reason import Reading, Said, stems
from recenter_utils.inference.rules.statements import statements
from recenter_utils.inference.rules.style import styles

#: Share of the words of two statements that must be the same for one to say the other.
SAME = 0.6
#: What the criteria ask for beyond an instruction that leaves it open.
STRICTER = 0.15
#: Characters of a sentence that are read.
SENTENCE = 600

_DANGLING = re.compile(
    r"\b(?:it|its|this|that one|these|those|them(?!selves)|here|there|hers|every one|the (?:same|other|last|first"
    r"|second|ending|title|panel|draft|text|line|verse|file|list))\b(?! of the user)",
    re.I,
)
_ORDER = re.compile(r"^(?:wants?|needs?|asks? for) (?!to (?:be|become|learn|get)\b|sources\b)", re.I)
_SCRAP = re.compile(
    r"^(?:is interested in(?: buying)?|is learning(?: to)?|likes to eat)\s+(?:with|to|for|of|how|why|what|similar|than"
    r"|does|do|the|here|his|her|their)\b|\b(?:the|a|an|for|of|to|in|and|with|here|so)\.?$",
    re.I,
)
_GUESS = re.compile(r"^(?:is (?:learning|interested in)|likes to eat|programs in|follows an?|plans to|speaks)\b", re.I)
_FIRST_PERSON = re.compile(r"\b(?:I|my|me|mine|myself|we|our|us)\b")
_ASKED = re.compile(r"\?\s*$|^(?:can|could|would|how|what|which|why|where|when|is|are|do|does|give|write|make)\b", re.I)


@dataclass(frozen=True, slots=True)
class Support:
    """How sure a reader can be of a statement, 0 to 1, why, and the user's sentences that it rests on."""

    score: float
    kind: str  # stated, shown, once, fiction, hearsay, nothing
    why: str
    rests_on: tuple[Said, ...] = ()


def reading_of(slots: Mapping[str, Any]) -> Reading:
    """Return the statement beside its snippet, all of whose turns are looked at alike."""
    excerpt = [{**turn, "cited": True} for turn in slots["snippet"]]
    return Reading({**slots, "judgment": "rejected", "excerpt": excerpt})


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a request that MiniLM is asked about, so that an engine can encode many at once."""
    reading = reading_of(slots)
    return reading.texts if reading.bearers else []


def support(reading: Reading, dials: Dials) -> Support:
    """Say how well the snippet bears the statement out, to a reader with these dials."""
    own = [said for said in reading.said if said.user and (said.own or dials.fiction)]
    stated = [(trust, said) for said in own if (trust := _states(reading, said))]
    if stated:
        trust, said = max(stated, key=lambda pair: pair[0])
        return Support(trust, "stated", f"The user says so: {_short(said.text)}", tuple(said for _, said in stated))
    shown = _shown(reading, own)
    turns = {said.place for said in shown}
    if len(turns) >= 2:
        score = min(0.8, 0.4 + 0.1 * len(turns) + 0.3 * reading.nearness) if dials.implied else 0.4
        return Support(score, "shown", f"{len(turns)} turns of the user show it.", tuple(shown))
    if shown:
        near = max(0.0, reading.nearness) * (1.0 if dials.one_off or dials.implied else 0.6)
        score = 0.2 + 0.6 * near + 0.12 * any(_FIRST_PERSON.search(said.text) for said in shown)
        return Support(min(score, 0.6), "once", f"One request shows it: {_short(shown[0].text)}", tuple(shown))
    if any(bearer.user for bearer in reading.bearers):
        text = _short(reading.bearers[0].text)
        return Support(0.1, "fiction", f"The words are played, drafted or quoted: {text}")
    told = [said for said in reading.said if not said.user and stems(said.text) & reading.topic]
    if told:
        return Support(
            0.55 if dials.assistant else 0.1, "hearsay", f"Only the assistant says it: {_short(told[0].text)}"
        )
    return Support(0.05, "nothing", "No turn of the user speaks of it.")


def _states(reading: Reading, said: Said) -> float:
    """Return how surely one sentence states the attribute; 0 where it does not."""
    text = said.text[:SENTENCE]
    trust = 0.0
    for trait in statements(text, literal=not said.own):
        held = stems(trait.attribute)
        if held and reading.topic and len(held & reading.topic) / len(held | reading.topic) >= SAME:
            trust = max(trust, 0.5 + 0.5 * trait.confidence)
    held = stems(text)
    if reading.topic and len(held & reading.topic) / len(reading.topic) >= 0.75 and _FIRST_PERSON.search(text):
        # The words are there, but a question that holds them states nothing.
        trust = max(trust, 0.6 if _ASKED.search(text) else 0.75)
    return trust


def _shown(reading: Reading, own: list[Said]) -> list[Said]:
    """Return the user's sentences that show what the attribute says without stating it."""
    bank = topics.bank().attributes
    number = bank.index(reading.attribute) if reading.attribute in bank else -1
    found = [
        said
        for said in own
        if any(attribute == reading.attribute for attribute, _ in styles(said.text[:SENTENCE]))
        or (number >= 0 and number in topics.told(said.text[:SENTENCE]))
    ]
    return found or [said for said in reading.bearers if said in own]


def faults(attribute: str) -> str:
    """Say why a statement cannot stand without the chat; an empty text where it can."""
    if _ORDER.search(attribute):
        return "It is an instruction about a text, not a trait."
    if _SCRAP.search(attribute):
        return "It is a scrap of a sentence."
    if dangling := _DANGLING.search(attribute):
        return f"What '{dangling[0]}' stands for is lost."
    return ""


def guess(attribute: str) -> bool:
    """Whether a statement is worded as one that is read into requests: an interest, something learned, a taste."""
    return bool(_GUESS.search(attribute))


def verify(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `attribute_verification` for one attribute."""
    reading = reading_of(slots)
    score = support(reading, dials).score - 0.2 * bool(faults(reading.attribute))
    return {"label": "accepted" if score >= dials.minimum else "rejected"}


def verify_by_criteria(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `attribute_verification_criteria` for one attribute."""
    reading = reading_of(slots)
    careful = dials.model_copy(update={"assistant": False, "one_off": False})
    found = support(reading, careful)
    fault = faults(reading.attribute)
    score = found.score - 0.35 * bool(fault)
    if found.kind in ("once", "shown") and guess(reading.attribute):
        score -= 0.15
    accepted = score >= min(0.85, dials.minimum + STRICTER)
    reasoning = " ".join(filter(None, [found.why, fault, "That is enough." if accepted else "That is not enough."]))
    return {"reasoning": reasoning, "label": "accepted" if accepted else "rejected"}


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= 140 else f'"{text[:139]}…"'
