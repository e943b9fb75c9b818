"""The view of the whole study, by a link of its own: progress, agreement so far, time an item, who stands apart."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from recenter_utils.annotation import assignment, progress
from recenter_utils.annotation.conduct import Conduct
from recenter_utils.annotation.links import Links
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.replies import Replies
from recenter_utils.annotation.store import Store
from recenter_utils.scales import PREFERENCE, Scale

_DRAWS = 500  # resamples of the intervals: this is a look, not a result


class Admin:
    """The view, computed from the store each time it is opened, off the event loop and on a connection of its own."""

    def __init__(self, store: Path, conduct: Conduct, links: Links, replies: Replies) -> None:
        self._path = store
        self._conduct = conduct
        self._links = links
        self._replies = replies
        self._one = asyncio.Lock()  # impatient reloads must not take the processors from those who judge

    async def show(self, request: Request) -> Response:
        """Show it to who holds the admin link."""
        token = request.path_params["token"]
        if not self._links.is_admin(token):
            raise Refusal.unknown_link()
        async with self._one:
            found = await run_in_threadpool(overview, self._path, self._conduct)
        return await self._replies.show("admin.html", url=f"/admin/{token}", **found)


def overview(path: Path, conduct: Conduct) -> dict[str, Any]:
    """Return what the view shows, as plain values; an undefined number is None."""
    with Store(path) as store:
        # One moment for all of it, on a connection that holds no lock: no click waits for the arithmetic.
        with store.snapshot() as db:
            people = progress.by_rater(store)
            places = assignment.slots(store, conduct.rules)
            pages, items, checks = db.execute(
                "SELECT count(DISTINCT page), count(*), count(expected) FROM items WHERE current"
            ).fetchone()
            answers = store.answers()
        scale, now = conduct.task.scale, datetime.fromtimestamp(store.now() / 1000, UTC)
    found, kappas, apart = _agreement(answers, people, scale)
    rules = conduct.rules
    return {
        "task": conduct.task.name,
        "question": scale.question,
        "now": _when(now),
        "plan": {
            "pages": pages,
            "items": items,
            "checks": checks,
            "per_item": rules.per_item,
            "overlap": rules.overlap,
            "cap": rules.cap,
            "reclaim_hours": rules.reclaim_hours,
        },
        "slots": asdict(places) | {"open": places.open},
        "labels": [{"label": label, "words": words} for label, words in _heads(scale).items()],
        "kappa": scale.kappa_words,
        "raters": [
            asdict(person)
            | {
                "last_seen": _when(person.last_seen),
                "kappa": kappas.get(person.rater),
                "stands_apart": apart.get(person.rater),
            }
            for person in people
        ],
        "agreement": found,
    }


def _heads(scale: Scale) -> Mapping[str, str]:
    """Return what stands over the shares of each label. A preference is counted as it is stored, not from A to B."""
    ends = {scale.labels[0]: "generic", scale.labels[-1]: "personalised"}
    return {label: f"{label} {ends.get(label, '')}" for label in scale.labels} if scale is PREFERENCE else scale.words


def _agreement(
    answers: pl.DataFrame, people: list[progress.Progress], scale: Scale
) -> tuple[dict[str, Any], dict[str, float | None], dict[str, str]]:
    """Return the agreement so far, mean kappa by rater, and who stands apart; of answers that count as things are."""
    counted = answers.filter(
        pl.col("version") == pl.col("current_version"), pl.col("expected").is_null(), ~pl.col("released")
    )
    if counted["rater"].n_unique() < 2:
        return {"overall": [], "pairs": [], "sentence": "Agreement shows when two annotators have answered."}, {}, {}
    # Seconds to import: the app starts without them, and whoever has no need of the view never waits.
    from recenter_utils.annotation import annotators
    from recenter_utils.stats import agreement

    wide = annotators.wide(counted)
    measurement = "nominal" if scale.task == "relevance" else "ordinal"
    clusters = annotators.clusters_of(wide, counted, "page_id")
    pairs = agreement.pairwise(wide, scale.labels, statistic=scale.kappa, clusters=clusters, draws=_DRAWS)
    apart = annotators.standing_apart(
        wide, pairs, {person.rater: (person.checks_passed, person.checks) for person in people}, scale=scale
    )
    overall = agreement.overall(wide, scale.labels, measurement=measurement, clusters=clusters, draws=_DRAWS)
    kappas = {rater: annotators.mean_kappa(pairs, rater) for rater in wide.columns}
    return {"overall": _plain(overall), "pairs": _plain(pairs), "sentence": None}, kappas, apart


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            str(name): None if value is None or (isinstance(value, float) and math.isnan(value)) else value
            for name, value in row.items()
        }
        for row in table.to_dict("records")
    ]


def _when(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%d %H:%M UTC")
