"""Who judges what: pages are handed out so that each gets its number of annotators, and never more."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import dataclass
from typing import Any

from recenter_utils.annotation.store import Store

_RANDOM = random.SystemRandom()

#: Whether an assignment `a` has items that its rater has not answered as they are worded now.
UNFINISHED = """EXISTS (
    SELECT 1 FROM items i WHERE i.page = a.page AND i.current AND NOT EXISTS (
        SELECT 1 FROM answers s WHERE s.rater = a.rater AND s.item = i.item AND s.kind = 'label'
        AND s.version = i.version
    )
)"""


@dataclass(frozen=True)
class Rules:
    """How pages are handed out.

    per_item: annotators for each page, and so for each of its items. overlap: the first so many pages go to every
    annotator instead. cap: pages for one person, those included; None is no limit. reclaim_hours: pages that were
    begun or not, but not finished, by somebody who did nothing for so long may go to somebody else; None is never.
    """

    per_item: int = 3
    overlap: int = 0
    cap: int | None = None
    reclaim_hours: float | None = None


@dataclass(frozen=True)
class Slots:
    """How many places for annotators the pages have, apart from those that go to everybody, and what became of them.

    `reclaimable` of the taken ones belong to somebody who was away for long.
    """

    all: int
    taken: int
    finished: int
    reclaimable: int

    @property
    def open(self) -> int:
        """Places that nobody has."""
        return self.all - self.taken


def hand_out(store: Store, rater: str, rules: Rules, share: int | None = None) -> int:
    """Give an annotator pages up to the cap (or to `share`, if that is less), and return how many came.

    All in one transaction: however many arrive at once, no page goes to more than `rules.per_item`. First the pages of
    the overlap, then those with the fewest annotators; last, pages that were left by somebody else. Each of the two
    kinds comes in an order drawn for this annotator, and each page with the response that stands on its left.
    """
    with store.transaction() as db:
        pages = [row[0] for row in db.execute("SELECT page FROM pages WHERE current ORDER BY place")]
        had = dict(db.execute("SELECT page, released_at FROM assignments WHERE rater = ?", (rater,)).fetchall())
        has = {page for page, released in had.items() if released is None}
        room = min(len(pages) if limit is None else limit for limit in (rules.cap, share)) - len(has & set(pages))
        first = [page for page in pages[: rules.overlap] if page not in has][: max(room, 0)]
        taken = _taken(db)
        free = [page for page in pages[rules.overlap :] if page not in has and taken.get(page, 0) < rules.per_item]
        # Pages that the annotator lost once come last: somebody else may see them with fresh eyes.
        free.sort(key=lambda page: (page in had, taken.get(page, 0)))
        rest = free[: max(room - len(first), 0)]
        for page, holder in _left_behind(store, rules) if len(first) + len(rest) < room else ():
            if len(first) + len(rest) < room and page not in has and page not in rest:
                db.execute(
                    "UPDATE assignments SET released_at = ? WHERE page = ? AND rater = ?", (store.now(), page, holder)
                )
                rest.append(page)
        _RANDOM.shuffle(first)
        _RANDOM.shuffle(rest)
        place = db.execute("SELECT coalesce(max(place), 0) FROM assignments WHERE rater = ?", (rater,)).fetchone()[0]
        for number, page in enumerate([*first, *rest], place + 1):
            shown = _RANDOM.choice(("generic", "personalised")) if store.meta("scale") == "preference" else None
            db.execute(
                "INSERT INTO assignments (page, rater, place, shown, assigned_at) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (page, rater) DO UPDATE SET released_at = NULL, assigned_at = excluded.assigned_at",
                (page, rater, number, shown, store.now()),
            )
        return len(first) + len(rest)


def slots(store: Store, rules: Rules) -> Slots:
    """Return how many places the pages have, and how many are taken, finished or left behind."""
    with store.transaction() as db:
        pages = [row[0] for row in db.execute("SELECT page FROM pages WHERE current ORDER BY place")][rules.overlap :]
        taken = _taken(db)
        finished = dict(
            db.execute(
                f"SELECT page, count(*) FROM assignments a WHERE released_at IS NULL AND NOT {UNFINISHED} GROUP BY page"
            ).fetchall()
        )
        return Slots(
            all=len(pages) * rules.per_item,
            taken=sum(min(taken.get(page, 0), rules.per_item) for page in pages),
            finished=sum(min(finished.get(page, 0), rules.per_item) for page in pages),
            reclaimable=len(_left_behind(store, rules)),
        )


def has_room(store: Store, rules: Rules) -> bool:
    """Whether somebody who comes now would get a page."""
    found = slots(store, rules)
    return rules.overlap > 0 or found.open > 0 or found.reclaimable > 0


def _taken(db: sqlite3.Connection) -> dict[str, int]:
    return dict(db.execute("SELECT page, count(*) FROM assignments WHERE released_at IS NULL GROUP BY page").fetchall())


def _left_behind(store: Store, rules: Rules) -> list[tuple[str, str]]:
    """Return (page, rater) of what may be taken back, what was left longest first.

    Who did anything at all within the time is still at work, and keeps the pages that wait for their turn.
    """
    if rules.reclaim_hours is None:
        return []
    before = store.now() - int(rules.reclaim_hours * 3_600_000)
    with store.transaction() as db:
        found: list[Any] = db.execute(
            f"""
            WITH seen AS (
                SELECT rater, max(at) AS at FROM (
                    SELECT rater, max(assigned_at, coalesce(opened_at, 0)) AS at FROM assignments
                    UNION ALL SELECT rater, max(answered_at) FROM answers WHERE via = 'app' GROUP BY rater
                ) GROUP BY rater
            )
            SELECT a.page, a.rater FROM assignments a JOIN seen USING (rater) JOIN pages p USING (page)
            WHERE a.released_at IS NULL AND p.current AND p.place >= ? AND seen.at <= ? AND {UNFINISHED}
            ORDER BY seen.at, p.place
            """,
            (rules.overlap, before),
        ).fetchall()
    return found
