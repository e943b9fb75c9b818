"""Does an attribute change the answer to a request? (§5.1, I.8) Common knowledge and nearness of topic, graded.

Circumstances matter for advice and plans, hardly for a question of fact; wishes about the form of answers matter for
nearly all. What a language model does besides, taking any connection for an influence, is the nearness of topic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from recenter_utils.inference.rules import topics
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.knowledge import Asked, Known, asked, knowledge, known, request_text, statement_text
from recenter_utils.inference.rules.verification import faults
from recenter_utils.inference.tasks import RELEVANCE_LINE

#: How far the asker's circumstances can enter an answer, by what is asked for.
OPEN = {"advice": 0.8, "draft": 0.45, "code": 0.25, "rewriting": 0.15, "fact": 0.2, "calculation": 0.1}
#: Added where the request speaks of the asker's own matters.
OWN = 0.2
#: Of an attribute that bears on none of the request's subjects, in a request open to circumstances.
ANYTHING = 0.12
#: Cosines between which two texts go from unrelated to near.
FAR, NEAR = 0.05, 0.55
#: What is left of the grade of a statement that cannot stand alone.
SCRAP = 0.4


class Graded(NamedTuple):
    """An answer in free text, with how sure the model is of its yes, 0 to 1."""

    text: str
    score: float


class Grade(NamedTuple):
    """How far an attribute changes an answer, 0 to 1, and the matter and subject that it rests on."""

    value: float
    matter: str
    subject: str


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a pair that MiniLM is asked about, so that an engine can encode many at once."""
    return [request_text(slots["prompt"]), statement_text(slots["attribute"])]


def grade(request: Asked, statement: Known, dials: Dials) -> Grade:
    """Grade one pair to a reader with these dials."""
    openness = min(1.0, OPEN[request.kind] + OWN * (request.own and request.kind in ("advice", "draft")))
    best = Grade(ANYTHING * openness, "", "")
    matters = knowledge().matters
    for name, sure in statement.matters.items():
        matter = matters[name]
        always = sure * matter.always.get(request.kind, 0.0)
        best = max(best, Grade(always, name, ""), key=_value)
        for subject, clear in request.subjects.items():
            value = sure * clear * matter.bears.get(subject, 0.0) * openness
            best = max(best, Grade(value, name, subject), key=_value)
    near = 0.0
    if request.text and statement.text:
        one, other = topics.vectors([request.text, statement.text])
        # Rounded, since a vector's last digits depend on what it was encoded together with.
        near = min(1.0, max(0.0, (round(float(one @ other), 3) - FAR) / (NEAR - FAR)))
    value = 1 - (1 - (1 - dials.nearness / 2) * best.value) * (1 - dials.nearness * near)
    return best._replace(value=value * (SCRAP if faults(statement.text) else 1.0))


def judge_relevance(slots: Mapping[str, Any], dials: Dials) -> Graded:
    """Answer `relevance` for one pair.

    The score is the grade seen from the model's threshold, so that, as with a language model's probability, .5 is
    where its answer turns.
    """
    request, statement = asked(request_text(slots["prompt"])), known(statement_text(slots["attribute"]))
    found = grade(request, statement, dials)
    score = _seen_from(found.value, dials.relevance)
    yes = score >= 0.5
    return Graded(f"{_reasoning(request, found, yes)}\n{RELEVANCE_LINE.lines[0 if yes else 1]}", score)


def _seen_from(value: float, threshold: float) -> float:
    held = min(max(value, 1e-6), 1 - 1e-6)
    odds = math.log(held / (1 - held)) - math.log(threshold / (1 - threshold))
    return round(1 / (1 + math.exp(-odds)), 6)


def _reasoning(request: Asked, found: Grade, yes: bool) -> str:
    kinds = {"fact": "a question of fact", "advice": "advice", "draft": "a text", "code": "code"}
    wants = f"The request asks for {kinds.get(request.kind, f'a {request.kind}')}"
    bears = f", and what is known is about {found.matter}" if found.matter else ""
    if yes:
        return f"{wants}{bears}, which would shape the answer{f' on {found.subject}' if found.subject else ''}."
    return f"{wants}{bears}; the answer would be the same without it."


def _value(found: Grade) -> float:
    return found.value
