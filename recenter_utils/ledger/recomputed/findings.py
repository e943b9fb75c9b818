"""All that is recomputed from the paper's numbers, and what it comes to."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from recenter_utils import published
from recenter_utils.ledger.recomputed import attributes, relevance, responses
from recenter_utils.ledger.recomputed.finding import Check, Finding
from recenter_utils.stats.printed import ROUNDED
from recenter_utils.study import Study

ALL = (*attributes.FINDINGS, *relevance.FINDINGS, *responses.FINDINGS)


def all_of(study: Study) -> list[Finding]:
    """Return every finding. study: whose notebook shows them; it must declare the published numbers it reads."""
    return [find(lambda name: published.read(name, study)) for find in ALL]


def checks(found: Sequence[Finding]) -> list[Check]:
    """Return the printed numbers that were checked, in order."""
    return [check for finding in found for check in finding.checks]


def frame(found: Sequence[Finding]) -> pd.DataFrame:
    """Return the checked numbers as a table: about, printed, found, digit and steps."""
    return pd.DataFrame([{**check._asdict(), "steps": check.steps} for check in checks(found)])


def sentence(found: Sequence[Finding]) -> str:
    """Return what recomputing comes to: how many printed numbers the arithmetic does not give."""
    tried = checks(found)
    off = [check for check in tried if abs(check.steps) > ROUNDED]
    return (
        f"{len(found)} things follow from the paper's numbers alone. Of the {len(tried)} printed numbers that "
        f"were looked into, the arithmetic gives {len(tried) - len(off)}; {len(off)} differ, some by rounding of parts "
        "or by another test, as said there. These were looked into because something was to be found out about them: "
        "what part of them differs says nothing of the paper's other numbers, and nothing new about people or models."
    )
