"""Why an attribute may not hold: whose words bear it, how near they are to it, how often they come, and whether it
stands alone. Reads the slots of `flag_reason` and says in words what it finds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from recenter_utils.inference.rules import lexicon as lex
from recenter_utils.inference.rules.bearing import FRAME, ONESELF, Reading, Said, stems
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.text import clean, spell_out, words

#: Characters of a text that is repeated in a reason.
REPEATED = 110
#: Cosine of attribute and sentence under which the sentence says something else; judges who reject ask for more.
FAR = {"rejected": 0.40, "uncertain": 0.10}
#: Share of the attribute's words that the user's own sentence must hold to say it outright.
OUTRIGHT = 0.6

_WISH = re.compile(r"^(?:the user )?(?:wants?|needs?|asks? for|requests?) (?!to be\b)", re.I)
_POINTING = re.compile(
    r"\b(?<!find )(?<!finds )(?<!of )(?:it|this|these|those|hers)\b|\bevery one\b|\bthe (?:above|following|latter"
    r"|former|same|first|second|last|next|ending|text|paragraph|sentence|draft|version|answer|question|code|output|file"
    r"|list|title|other)\b",
    re.I,
)
_ERRAND = re.compile(r"^(?:is interested in(?: buying)?|is learning(?: to)?|likes to eat|plans to)\b\s*(.*?)\.?$", re.I)
_OF_THE_DAY = re.compile(r"^(?:the|how|why|what|when|where|whether|their|my)\b", re.I)
_SOME = re.compile(r"\ban?\b", re.I)
_SCRAP = re.compile(
    r"^(?:to|in|of|for|at|on|with|and|or|similar|hers?|his|than|do|is)\b|\b(?:the|a|an|for|of|to|in|and|with)$", re.I
)
_FOOD = re.compile(r"\b(?:recipe|cook|bake|eat|dinner|lunch|meal|dish|supper|breakfast|snack|dessert)\w*\b", re.I)
_PEOPLE = (
    rf"{lex.KIN}|mate|friend|colleague|co-?worker|neighbou?r|cousin|boss|guest|lad|guy|man|woman|owner|donor|family"
    r"|landlord|teacher|client|customer|supplier|classmate|kid|child"
)
_OTHER = re.compile(rf"\b(?:my|our|his|her|their|a|an|the|one|some) (?:[\w-]+ )?(?:{_PEOPLE})(?:'s)?\b", re.I)
#: Somebody else for whom the task is done, and whose matter it then is.
_PRINCIPAL = re.compile(
    rf"\b(?<!for )(?:my|our|his|her|their|a|an|the) (?:[\w-]+ )?(?:{_PEOPLE})(?:'s (?:\w+ )?(?:letter|application|cv"
    r"|resume|speech|toast|essay|ad|advert|profile|text|story|message|post|job)|,? (?:\w+ )?(?:asked|asks|wants|wanted"
    r"|needs|needed|is giving|gave|is (?:planning|looking|writing)))\b",
    re.I,
)
_REQUEST = re.compile(
    r"\?\s*$|^(?:\w+,? ){0,3}?(?:what|whats|how|which|where|when|why|can|could|would|should|is there|are there|any|give"
    r"|make|write|find|show|tell|explain|need|want|help|add|draft|do)\b",
    re.I,
)
_LASTING = re.compile(
    r"\b(?:always|never|every|each|usually|as usual|for (?:\w+ )?years|since|for a living|times (?:a|in the) week"
    r"|again|myself|my own|all my life|used to)\b",
    re.I,
)


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a request that MiniLM is asked about, so that an engine can encode many at once."""
    reading = Reading(slots)
    settled = _alone(reading) or _voice(reading, dials) or _outright(reading, dials) or reading.styled
    return [] if settled or not reading.bearers else reading.texts


def flag_reason(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `flag_reason` for one attribute."""
    reading = Reading(slots)
    why = _alone(reading) or _voice(reading, dials) or _evidence(reading, dials)
    notes = [clean(note) for note in slots["notes"] or () if clean(note).strip()]
    if notes:
        # Unlike what is repeated from the excerpt, a note is itself a reason: it stands without quotation marks.
        why += f" A judge noted: {_repeated(notes[0])[1:-1]}."
    return {"inferred_reason": why, "evidence_assessment": _assessment(reading)}


def _alone(reading: Reading) -> str:
    """Say why the attribute cannot stand without the chat, if it cannot."""
    attribute = reading.attribute
    shown = reading.bearers[0].text if reading.bearers else reading.reason
    if _WISH.match(attribute):
        return f"It is an instruction about the text at hand, {_repeated(shown)}, and no trait of the user."
    if errand := _ERRAND.match(attribute):
        uneaten = attribute.lower().startswith("likes to eat") and not _FOOD.search(shown)
        if _SCRAP.search(errand[1]) or uneaten:
            return f"It makes no sense as a sentence; nothing in the excerpt shows a trait in {_repeated(errand[1])}."
        # Its words are the request's, and more than a name: a question turned into a trait. "Learning to tune a
        # ukulele" is more, a skill that somebody may have.
        restated = len(reading.topic) > 1 and reading.topic <= stems(spell_out(shown)) and not _SOME.search(errand[1])
        if _OF_THE_DAY.match(errand[1]) or restated:
            return f"It restates the question of the day, {_repeated(shown)}, and names no lasting trait."
    if pointing := _POINTING.search(attribute):
        return f"It cannot be understood without the chat: what {_repeated(pointing[0])} points at is lost."
    return ""


def _voice(reading: Reading, dials: Dials) -> str:
    """Say whose words they are, if they are not the user's about themself."""
    bearers = reading.bearers
    if not bearers:
        told = [said for said in reading.said if not said.user and stems(said.text) & reading.topic]
        if told and not dials.assistant:
            return f"Only the assistant says it, {_repeated(told[0].text)}; the user does not."
        return ""
    if reading.styled:
        return ""
    if not dials.fiction and not any(reading.of_oneself(bearer) for bearer in bearers):
        return (
            f"The words stand in a text that is drafted, quoted or played, {_repeated(bearers[0].text)}, "
            "and are not the user's about themself."
        )
    others = [_others(reading, bearer) for bearer in bearers if bearer.own]
    return others[0] if others and all(others) else ""


def _others(reading: Reading, bearer: Said) -> str:
    principal = _PRINCIPAL.search(reading.turn_of(bearer))
    if principal and not stems(principal[0]) & reading.topic:
        return (
            f"The task is for somebody else, {_repeated(principal[0])}: {_repeated(bearer.text)} is its subject, "
            "and not about the user."
        )
    person = _OTHER.search(bearer.text)
    if person is None or reading.judgment != "rejected" or stems(person[0]) & reading.topic or reading.outright:
        return ""
    return f"What the excerpt shows is true of somebody else, {_repeated(person[0])}; it is not shown of the user."


def _outright(reading: Reading, dials: Dials) -> str:
    """Say that the user says it, if they do so in nearly the attribute's words."""
    if _wishful(reading) or not reading.bearers or reading.outright < OUTRIGHT:
        return ""
    first = reading.bearers[0]
    often = len({bearer.place for bearer in reading.bearers if bearer.own}) >= dials.support
    return _borne_out(first) if often or ONESELF.search(first.text) else ""


def _wishful(reading: Reading) -> bool:
    """Whether the attribute is a wish or an errand turned into a trait: the same words do not prove it."""
    return bool(reading.styled) or bool(_ERRAND.match(reading.attribute))


def _borne_out(by: Said) -> str:
    return f"The user's own words bear it out, {_repeated(by.text)}; no failure is to be seen."


def _evidence(reading: Reading, dials: Dials) -> str:
    """Say how far the user's own words bear the attribute out."""
    bearers = reading.bearers
    if not bearers:
        return f"Nothing in the excerpt bears it: no turn of the user speaks of {_named(reading.attribute)}."
    if outright := _outright(reading, dials):
        return outright
    first = bearers[0]
    places = {bearer.place for bearer in bearers if bearer.own}
    if not reading.styled and reading.nearness < FAR.get(reading.judgment, FAR["uncertain"]):
        return (
            f"The words it was read from say something else here, {_repeated(first.text)}; "
            f"the excerpt does not show {_named(reading.attribute)}."
        )
    told = ONESELF.search(first.text) and not _wishful(reading) and not _REQUEST.search(first.text)
    if reading.judgment == "uncertain" and (told or _LASTING.search(first.text) or len(places) >= dials.support):
        return _borne_out(first)
    return (
        f"It rests on {_count(len(places) or 1, 'request')} alone, {_repeated(first.text)}; "
        "that is too little for something lasting."
    )


def _assessment(reading: Reading) -> str:
    cited = {said.place for said in reading.said if said.user and said.cited}
    bearing = {bearer.place for bearer in reading.bearers}
    if not bearing:
        return f"None of the {_count(len(cited), 'turn')} that it is said to rest on speaks of it."
    own = {bearer.place for bearer in reading.bearers if bearer.own}
    voice = "" if own == bearing else f", {len(own)} of them in the user's own voice"
    return f"{_count(len(bearing), 'turn').capitalize()} of the user's speaks of it{voice}."


def _repeated(text: str) -> str:
    text = " ".join(text.replace('"', "'").split())
    return f'"{text}"' if len(text) <= REPEATED else f'"{text[: REPEATED - 1]}…"'


def _named(text: str) -> str:
    return _repeated(" ".join(word for word in words(text) if word not in FRAME) or "it")


def _count(number: int, what: str) -> str:
    return f"one {what}" if number == 1 else f"{number} {what}s"
