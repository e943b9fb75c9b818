"""The coarse filter of §5.1 by rules: which attributes of a user may matter, graded like relevance, less strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recenter_utils.inference.rules.dials import Dials
from recenter_utils.inference.rules.knowledge import asked, known, request_text, statement_text
from recenter_utils.inference.rules.relevance import grade

#: Share of a model's threshold at which it lets an attribute pass: others judge what is left.
COARSE = 0.8


def wanted(slots: Mapping[str, Any], dials: Dials) -> list[str]:
    """Return the texts of a request that MiniLM is asked about, so that an engine can encode many at once."""
    return [request_text(slots["prompt"]), *(statement_text(given["attribute"]) for given in slots["attributes"])]


def filter_pairs(slots: Mapping[str, Any], dials: Dials) -> dict[str, Any]:
    """Answer `pair_filter` for one request and the attributes of one user."""
    request = asked(request_text(slots["prompt"]))
    least = COARSE * dials.relevance
    return {
        "relevant": [
            int(given["number"])
            for given in slots["attributes"]
            if grade(request, known(statement_text(given["attribute"])), dials).value >= least
        ]
    }
