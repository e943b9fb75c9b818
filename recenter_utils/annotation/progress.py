"""How far annotators are, how they answer, and whether their work is complete: decided here, never in a browser."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from recenter_utils.annotation import raters, saving
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.schema import recoded
from recenter_utils.annotation.store import Store

#: A label of a rater on a check item as it is worded now: the newest row.
_CHECKS = """
SELECT i.expected, s.value, s.first_shown FROM items i JOIN answers s ON s.item = i.item AND s.version = i.version
WHERE i.current AND i.expected IS NOT NULL AND s.kind = 'label' AND s.rater = ? AND s.answer = (
    SELECT max(answer) FROM answers n WHERE n.rater = s.rater AND n.item = s.item AND n.kind = 'label'
    AND n.version = s.version
)
"""


@dataclass(frozen=True)
class Progress:
    """An annotator and their work so far.

    state: `not here yet`, `reading`, `working`, `finished`, `failed checks` or `declined`. shares: of their labels that
    hold, by the scale's labels; None before the first. seconds: the median time an answer.
    """

    rater: str
    state: str
    pages: int
    pages_done: int
    items: int
    items_done: int
    given_back: int
    last_seen: datetime | None
    seconds: float | None
    shares: tuple[float | None, ...]
    flagged: int
    notes: int
    checks: int
    checks_passed: int


def checks(store: Store, rater: str) -> tuple[int, int]:
    """Return how many check items an annotator answered, and how many of these with an expected label."""
    with store.transaction() as db:
        rows = db.execute(_CHECKS, (rater,)).fetchall()
    scale = store.scale
    return len(rows), sum(recoded(label, first, scale) in json.loads(expected) for expected, label, first in rows)


def finish(store: Store, name: str, min_passed: float | None) -> tuple[raters.Rater, list[saving.PageProgress]]:
    """Return an annotator and their pages, noting how the work ended if all of it is answered now.

    Whether the check items were passed is settled then, once: nobody answers until it fits.
    """
    with store.transaction() as db:
        rater = raters.find(store, name)
        if not rater.consented:
            raise Refusal(403, "Please agree first", "Please read and answer the consent form first.", home=True)
        pages = saving.progress(store, name)
        if pages and rater.outcome is None and all(page.done == page.total for page in pages):
            answered, passed = checks(store, name)
            failed = min_passed is not None and answered > 0 and passed / answered < min_passed
            db.execute(
                "UPDATE raters SET finished_at = ?, outcome = ? WHERE rater = ?",
                (store.now(), "failed" if failed else "complete", name),
            )
            rater = raters.find(store, name)
    return rater, pages


def by_rater(store: Store) -> list[Progress]:
    """Return the progress of every annotator, in the order in which they came; those who did not come are last."""
    with store.transaction() as db:
        known = db.execute(
            "SELECT r.rater, came_at, consented_at, declined_at, started_at, outcome,"
            " (SELECT count(*) FROM assignments a WHERE a.rater = r.rater AND released_at IS NOT NULL),"
            " nullif(max(coalesce(came_at, 0), coalesce(consented_at, 0), coalesce(declined_at, 0),"
            "  coalesce((SELECT max(opened_at) FROM assignments a WHERE a.rater = r.rater), 0),"
            "  coalesce((SELECT max(answered_at) FROM answers s WHERE s.rater = r.rater), 0)), 0)"
            " FROM raters r ORDER BY came_at IS NULL, came_at, r.rowid"
        ).fetchall()
        answers = store.answers()
        labels = store.scale.labels
        found = []
        for name, came, consented, declined, started, outcome, given_back, seen in known:
            pages = saving.progress(store, name)
            # With preferences, `shares` are over generic to personalised, as in the analyses.
            mine = answers.filter(pl.col("rater") == name)
            current = mine.filter(pl.col("version") == pl.col("current_version"), pl.col("expected").is_null())
            answered, passed = checks(store, name)
            median = mine["seconds"].median()
            found.append(
                Progress(
                    rater=name,
                    state=_state(came, consented, declined, started, outcome, pages),
                    pages=len(pages),
                    pages_done=sum(page.done == page.total for page in pages),
                    items=sum(page.total for page in pages),
                    items_done=sum(page.done for page in pages),
                    given_back=given_back,
                    last_seen=datetime.fromtimestamp(seen / 1000, UTC) if seen else None,
                    seconds=float(median) if isinstance(median, (int, float)) else None,
                    shares=tuple((current["label"] == label).mean() if current.height else None for label in labels),  # type: ignore[misc]
                    flagged=int(mine["flagged"].sum()),
                    notes=mine["note"].count(),
                    checks=answered,
                    checks_passed=passed,
                )
            )
    return found


def _state(
    came: int | None,
    consented: int | None,
    declined: int | None,
    started: int | None,
    outcome: str | None,
    pages: list[saving.PageProgress],
) -> str:
    if declined:
        return "declined"
    if outcome == "failed":
        return "failed checks"
    if pages and all(page.done == page.total for page in pages):
        return "finished"
    if started or pages:
        return "working"
    return "reading" if came or consented else "not here yet"
