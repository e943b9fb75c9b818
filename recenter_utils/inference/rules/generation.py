"""Writing responses by rules: what a request asks for decides the text, what is known of a person changes it.

Two dials say for how large a share of a person's attributes a model changes what it advises, without a word of them,
and how large a share it names outright, whether it does anything about them or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recenter_utils.inference.rules.address import second_person, somebody
from recenter_utils.inference.rules.bearing import stems
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.generation_parts import POINTS, Point, Written, point, subject_of, texts, written
from recenter_utils.inference.rules.knowledge import Asked, Known, asked, knowledge, known, request_text, statement_text
from recenter_utils.lots import drawn, uniform

#: Points of a short response.
FEW = 3

_HARM = re.compile(
    r"\b(?:build|make|construct|assemble|buy|get)\b.{0,40}\b(?:(?<!bath )bombs?|explosives?|grenades?|nerve agents?)\b"
    r"|\b(?:poison|kill|murder|strangle|stalk|blackmail|kidnap)\b (?:someone|somebody|him|her|people|my|a (?:man|woman"
    r"|child|person|colleague|neighbour))\b(?! (?:lawn|weeds?|plants?|process|session|darlings?|time|boredom))"
    r"|\b(?:hack|break) into\b.{0,30}\b(?:accounts?|phones?|houses?|e-?mails?|systems?|network)\b"
    r"|\b(?:write|create|make|build)\b.{0,30}\b(?:malware|ransomware|keyloggers?|computer virus|phishing)\b"
    r"|\b(?:forge|fake)\b.{0,15}\b(?:passports?|prescriptions?|signatures?|banknotes?)\b"
    r"|\b(?:steal|launder)\b.{0,20}\b(?:cars?|identit(?:y|ies)|credit cards?|passwords?|money)\b",
    re.I | re.S,
)
_REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I can't help with this request, because somebody could come to harm.",
    "I won't help with that. If somebody is in danger, please call the emergency services.",
)

_SHORT = re.compile(r"\b(?:short|brief|concise|one[- ]line|never reads)\b", re.I)
_STYLES = {
    "bullets": re.compile(r"\bbullets?\b|\bpoints\b|\bnever reads\b", re.I),
    "prose": re.compile(r"\bprose\b|\bno lists?\b", re.I),
    "table": re.compile(r"\btables?\b", re.I),
}


@dataclass(slots=True)
class _Use:
    """What a response does about one attribute."""

    statement: Known
    named: bool
    changes: bool
    point: Point | None = None


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a request that MiniLM is asked about, so that an engine can encode many at once."""
    return [request_text(slots["prompt"]), *_statements(slots)]


def write_generic(slots: Mapping[str, Any], dials: Dials) -> str:
    """Answer `generic_response` for one request."""
    return _write(asked(request_text(slots["prompt"])), [], dials)


def write_personalised(slots: Mapping[str, Any], dials: Dials) -> str:
    """Answer `personalised_response` for one request and what is known of a person.

    Each attribute is named, and each changes the answer, by a lot of its own: of the model's dials, the request and the
    attribute, whatever else is known.
    """
    request = asked(request_text(slots["prompt"]))
    who = dials.model_dump_json()
    uses = [
        _Use(
            known(text),
            named=uniform(0, "mentions", who, request.text, text) < dials.mentions,
            changes=uniform(0, "adapts", who, request.text, text) < dials.adapts,
        )
        for text in _statements(slots)
    ]
    return _write(request, uses, dials)


def _statements(slots: Mapping[str, Any]) -> list[str]:
    told = (statement_text(given["attribute"]) for given in slots.get("attributes", ()))
    return list(filter(None, dict.fromkeys(told)))


def _write(request: Asked, uses: Sequence[_Use], dials: Dials) -> str:
    who = dials.model_dump_json()
    if _HARM.search(request.text):
        return drawn(_REFUSALS, 1, 0, who, request.text)[0]
    # Like a model that is asked anew, it words a personalised response otherwise even where nothing is used.
    response = written(request, who, *(use.statement.text for use in uses))
    _adapt(response, request, uses, who)
    return response.markdown()


def _adapt(response: Written, request: Asked, uses: Sequence[_Use], who: str) -> None:
    """Change a response for the attributes that are used, each as its lots have it."""
    taken: set[Point] = set()
    for use in uses:
        if use.changes and not _reshape(response, use.statement):
            use.point = _changed(request, use.statement, taken, who)
            taken.add(use.point)
    changed = []
    for use in uses:
        if use.point:
            lead = f"{_since(use.statement, request, who)}:" if use.named else use.point.lead
            changed.append(Point(lead, use.point.says))
    left = (FEW if response.short else POINTS) - len(changed)
    response.points = [*changed, *response.points[: max(left, 1)]]
    alone = [use.statement for use in uses if use.named and not use.point]
    response.named = list(_in_mind(alone, request, who))


def _reshape(response: Written, statement: Known) -> bool:
    """Give a response the form that a statement wishes for; false where it wishes for none that can be had."""
    if "form of answers" not in statement.matters:
        return False
    style = next((style for style, words in _STYLES.items() if words.search(statement.text)), "")
    short = bool(_SHORT.search(statement.text))
    response.style, response.short = style or response.style, short or response.short
    return bool(style) or short


def _changed(request: Asked, statement: Known, taken: set[Point], who: str) -> Point:
    """Return a point that does something about a statement in other words than its own, if possible a fresh one."""
    subject, told = subject_of(request), texts()["matters"]
    found: list[Point] = []
    for name in (*_matters(request, statement), "other"):
        entry = told.get(name, {})
        own = entry.get(subject if request.kind == "advice" else request.kind, [])
        for says in (own, entry.get("any", [])):
            found += map(point, drawn(says, None, 0, "changed", who, request.text, statement.text))
    silent = [point for point in found if not stems(" ".join(point)) & stems(statement.text)]
    return next((point for point in silent if point not in taken), (silent or found)[0])


def _matters(request: Asked, statement: Known) -> list[str]:
    """Return what a statement is about, what bears on the request most first."""
    matters = knowledge().matters

    def bearing(name: str) -> float:
        matter = matters[name]
        on = max((matter.bears.get(subject, 0.0) for subject in request.subjects), default=0.0)
        return statement.matters[name] * max(on, matter.always.get(request.kind, 0.0))

    return sorted(statement.matters, key=lambda name: (-bearing(name), name))


def _since(statement: Known, request: Asked, who: str) -> str:
    lead = drawn(("Since", "As", "Because", "Given that"), 1, 0, "lead", who, request.text, statement.text)[0]
    return f"{lead} {second_person(statement.text)}"


def _in_mind(statements: Sequence[Known], request: Asked, who: str) -> Iterator[str]:
    """Yield a sentence for every two of the statements that are named although nothing is done about them."""
    for start in range(0, len(statements), 2):
        first, *second = statements[start : start + 2]
        since = _since(first, request, who)
        if second:
            yield f"{since} and {second_person(second[0].text)}, I have kept both in mind."
            continue
        ways = [f"{since}, I have kept that in mind.", f"{since}, this should suit you well."]
        if person := somebody(first.text):
            ways.append(f"As {person}, you may find some of this useful.")
        yield drawn(ways, 1, 0, "in mind", who, request.text, first.text)[0]
