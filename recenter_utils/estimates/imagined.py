"""What a model is imagined to say where its answer is not known and others are asked because of it.

Only how much is said counts, and how many attributes a user has: no imagined answer is stored or shown.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from recenter_utils.attributes.categories import CANDIDATES
from recenter_utils.inference import tasks

#: Attributes that a piece of a conversation holds.
ATTRIBUTES = 2

#: Of all pairs of a request and an attribute, one in so many matters; of all attributes, one in so many is flagged.
MATTERS, FLAGGED = 3, 2

#: Characters of an attribute, of reasoning, and of a response.
SHORT, LONG, RESPONSE = 60, 400, 2000

Slots = Mapping[str, Any]


def _words(slots: Slots, characters: int, number: int = 0) -> str:
    """Return text of a length that differs wherever what is asked differs: the same question is asked only once."""
    asked = json.dumps(dict(slots), sort_keys=True, default=str).encode()
    name = hashlib.blake2b(asked, digest_size=8, person=str(number).encode()).hexdigest()
    return f"{name} {'words ' * (characters // 6)}"[:characters].strip()


def _extraction(slots: Slots) -> Mapping[str, Any]:
    own = [turn["turn"] for turn in slots["conversation"] if turn["role"] == "user"]
    return {
        "attributes": [
            {
                "attribute": _words(slots, SHORT, number),
                "reason": _words(slots, LONG // 2),
                "confidence": 1.0,
                "evidence_turns": own[:1],
            }
            for number in range(ATTRIBUTES)
        ]
    }


def _categories(slots: Slots) -> Mapping[str, Any]:
    sorted_ = [{"case": case["case"], "category": CANDIDATES[0].name} for case in slots["cases"]]
    return {"classifications": sorted_, "new_categories": []}


def _refinement(slots: Slots) -> Mapping[str, Any]:
    said = {"attribute": _words(slots, SHORT), "reason": _words(slots, LONG // 2)}
    return {"action": "revise", "confidence": 1.0, "evidence_turns": [], **said}


def _verdict(slots: Slots) -> Mapping[str, Any]:
    return {"label": "accepted"}


_ANSWERS: dict[tasks.Task, Callable[[Slots], Mapping[str, Any]]] = {
    tasks.LANGUAGE_CHECK: lambda slots: {"is_english": True},
    tasks.ASSISTANT_USE: lambda slots: {"reasoning": "", "score": 1.0},
    tasks.ATTRIBUTE_EXTRACTION: _extraction,
    tasks.FLAG_REASON: lambda slots: {
        "inferred_reason": _words(slots, LONG // 2),
        "evidence_assessment": _words(slots, LONG // 2, 1),
    },
    tasks.FLAG_CATEGORY: _categories,
    tasks.ATTRIBUTE_VERIFICATION: _verdict,
    tasks.ATTRIBUTE_VERIFICATION_CRITERIA: lambda slots: {"reasoning": "", "label": "accepted"},
    tasks.ATTRIBUTE_REFINEMENT: _refinement,
    tasks.PAIR_FILTER: lambda slots: {"relevant": [attribute["number"] for attribute in slots["attributes"]]},
    tasks.PREFERENCE_JUDGMENT: lambda slots: {"reasoning": "", "rating": 3},
    tasks.MENTION: lambda slots: {"quote": "", "explicit": False},
}

_TEXTS: dict[tasks.Task, Callable[[Slots], str]] = {
    tasks.RELEVANCE_JUDGMENT: lambda slots: f"{_words(slots, LONG)}\nAnswer: YES",
    tasks.GENERIC_RESPONSE: lambda slots: _words(slots, RESPONSE),
    tasks.PERSONALISED_RESPONSE: lambda slots: _words(slots, RESPONSE),
}


def _as_json(answer: Callable[[Slots], Mapping[str, Any]]) -> Callable[[Slots], str]:
    return lambda slots: json.dumps(answer(slots))


#: By task, what is said to an item; see `counting.counting`.
ANSWERS: dict[str, Callable[[Slots], str]] = {
    **{task.name: _as_json(answer) for task, answer in _ANSWERS.items()},
    **{task.name: text for task, text in _TEXTS.items()},
}
