"""Which kind of failure a reason describes. Reads the words of the reason, and takes one of the categories offered."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from recenter_utils.inference.rules.bearing import stems
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.text import clean

#: What reasons of a kind say. A category whose name is not here is known by the words of its definition.
_CUES = {
    "overgeneralization": (
        r"\b(?:only|just|from|rests on) (?:one|a single|a|two|few|\d) (?:\w+ )?(?:requests?|questions?|occasions?"
        r"|mentions?|chats?|times?|instances?|turns?)|too (?:little|narrow|few) for|one[- ]off"
        r"|single (?:request|occasion|case)|(?:over|hasty )generali[sz]\w+|(?:too|more) (?:broad|general|strong)"
        r"|exaggerat\w+|situational|momentary|for something lasting|on one (?:evening|day|occasion)|once\b"
    ),
    "missing_evidence": (
        r"nothing (?:in|shows|said|supports|is (?:shown|said))|no (?:turn|mention|evidence|sign|trace)"
        r"|(?:not|never) (?:\w+ )?(?:shown?|said|says?|mention(?:s|ed)?|visible|supported|state[sd]?|speaks?)"
        r"|unsupported|something else|somebody else|someone else|mismatch\w*|makes no sense|insufficient\w*|missing"
        r"|absent|a guess|misread\w*|different (?:person|meaning|word)"
    ),
    "task_context_confusion": (
        r"fiction\w*|\bstory|\brole\b|role-?play\w*|\bplayed\b|\bdraft\w*|\bquot\w+|\bcharacter\b|imaginary|its subject"
        r"|subject of (?:the|a) task|task is for|text (?:that is )?written for|in (?:the|a) (?:letter|poem|novel|toast"
        r"|advertisement|example)|(?:only )?the assistant (?:says|said|adds|added|suggest\w+)|sample (?:text|data)"
    ),
    "not_standalone": (
        r"cannot be understood|(?:on its|stand) own|stands? alone|standalone|without the (?:chat|context|conversation)"
        r"|points at|instruction about|of the (?:day|moment)|(?:the|an?) (?:task|text|artifact|draft|code) at hand"
        r"|describes the (?:task|text|request)|(?:immediate|current) task|context[- ]dependent|dangling"
    ),
    "supported": (
        r"bears? (?:it|the attribute|this) out|no failure|nothing (?:is )?wrong|well supported|is supported|clearly"
        r" (?:stated|shown|supported)|says so (?:\w+ )?themsel\w+|the attribute (?:holds|is right|is correct)"
    ),
}
#: Kinds that reasons may describe though nobody offered them.
_FURTHER = {
    "contradicted": (
        r"contradict\w*|the opposite|den(?:y|ies|ied) (?:it|this)|says the contrary",
        "The user's own words say the opposite of the attribute.",
    ),
    "out_of_date": (
        r"no longer|not any ?more|out[- ]of[- ]date|outdated|used to be true|has since",
        "The attribute was true once, and the chats show that it is not any more.",
    ),
}
#: What one shared word with a definition counts for beside a cue.
_WORD = 0.2
_COMPILED = {name: re.compile(pattern, re.I) for name, pattern in _CUES.items()}
_NEW = {name: re.compile(pattern, re.I) for name, (pattern, _) in _FURTHER.items()}
#: A repeated text is what a reason is about, not what it says.
_REPEATED = re.compile(r'"[^"]*"')


def flag_category(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `flag_category` for a batch of cases."""
    offered = [(str(category["name"]), str(category["definition"])) for category in slots["categories"]]
    rows = [{"case": case["case"], "category": _category(case, offered)} for case in slots["cases"]]
    known = {name for name, _ in offered}
    new = sorted({row["category"] for row in rows} - known)
    return {
        "classifications": rows,
        "new_categories": [{"name": name, "definition": _FURTHER[name][1]} for name in new],
    }


def _category(case: Mapping[str, Any], offered: Sequence[tuple[str, str]]) -> str:
    why = _REPEATED.sub(" … ", clean(case["why"]))
    scores = {name: _score(name, definition, why) for name, definition in offered}
    best = max(scores, key=lambda name: scores[name], default="")
    for name, pattern in _NEW.items():
        if name not in scores and len(pattern.findall(why)) > scores.get(best, 0.0):
            return name
    if best and scores[best] < 1:
        # The reason alone does not say: what is said of the evidence may.
        evidence = _REPEATED.sub(" … ", clean(case["evidence"]))
        scores = {name: scores[name] + _score(name, definition, evidence) for name, definition in offered}
        best = max(scores, key=lambda name: scores[name])
    return best or "out_of_date"


def _score(name: str, definition: str, why: str) -> float:
    cues = len(_COMPILED[name].findall(why)) if name in _COMPILED else 0
    return cues + _WORD * len(stems(why) & stems(definition))
