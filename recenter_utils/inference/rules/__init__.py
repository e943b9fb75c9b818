"""The embedded models: a rule a task. They read a request's slots, the text a prompt would hold, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from recenter_utils.inference.rules.assistant_use import score_assistant_use
from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.extraction import extract, gists
from recenter_utils.inference.rules.flag_category import flag_category
from recenter_utils.inference.rules.flag_reason import flag_reason, wanted
from recenter_utils.inference.rules.generation import wanted as wanted_to_write
from recenter_utils.inference.rules.generation import write_generic, write_personalised
from recenter_utils.inference.rules.language import check_language
from recenter_utils.inference.rules.mention import find_mention
from recenter_utils.inference.rules.mention import wanted as wanted_to_find
from recenter_utils.inference.rules.pairing import filter_pairs
from recenter_utils.inference.rules.pairing import wanted as wanted_to_filter
from recenter_utils.inference.rules.preference import judge_preference
from recenter_utils.inference.rules.preference import wanted as wanted_to_compare
from recenter_utils.inference.rules.refinement import refine
from recenter_utils.inference.rules.refinement import wanted as wanted_to_refine
from recenter_utils.inference.rules.relevance import Graded, judge_relevance
from recenter_utils.inference.rules.relevance import wanted as wanted_to_judge
from recenter_utils.inference.rules.verification import verify, verify_by_criteria
from recenter_utils.inference.rules.verification import wanted as wanted_to_verify

#: Answers with what the task's schema asks for, or in free text, with a grade or without.
Rule = Callable[[Mapping[str, Any], Dials], dict[str, Any] | Graded | str]

RULES: dict[str, Rule] = {
    "language_check": check_language,
    "assistant_use": score_assistant_use,
    "attribute_extraction": extract,
    "flag_reason": flag_reason,
    "flag_category": flag_category,
    "attribute_verification": verify,
    "attribute_verification_criteria": verify_by_criteria,
    "attribute_refinement": refine,
    "pair_filter": filter_pairs,
    "relevance": judge_relevance,
    "generic_response": write_generic,
    "personalised_response": write_personalised,
    "preference": judge_preference,
    "mention": find_mention,
}

#: What MiniLM is asked about by a task's rule, so that an engine can encode the texts of many requests at once.
TEXTS: dict[str, Callable[[Mapping[str, Any], Dials], list[str]]] = {
    "attribute_extraction": gists,
    "flag_reason": wanted,
    "attribute_verification": wanted_to_verify,
    "attribute_verification_criteria": wanted_to_verify,
    "attribute_refinement": wanted_to_refine,
    "pair_filter": wanted_to_filter,
    "relevance": wanted_to_judge,
    "generic_response": wanted_to_write,
    "personalised_response": wanted_to_write,
    "preference": wanted_to_compare,
    "mention": wanted_to_find,
}


@cache
def version() -> str:
    """Return a version of the rules that follows from their source: a changed rule is another model."""
    digest = hashlib.blake2b(digest_size=6)
    for path in sorted(Path(__file__).parent.glob("*.[py]*")):
        if path.suffix in (".py", ".yaml"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


__all__ = ["RULES", "TEXTS", "Dials", "Graded", "Rule", "version"]
