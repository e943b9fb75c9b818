"""One answer, saved: checked against what the annotator was handed, and on the disk before it is acknowledged."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from recenter_utils.annotation import raters
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.schema import recoded
from recenter_utils.annotation.store import Store

KINDS = ("label", "flag", "note")
LONGEST_NOTE = 4_000  # characters

#: Done and all of an annotator's items, by page, of the pages that are theirs now.
_PROGRESS = """
SELECT a.page, a.place, count(*), count(EXISTS (
    SELECT 1 FROM answers s WHERE s.rater = a.rater AND s.item = i.item AND s.kind = 'label' AND s.version = i.version
) OR NULL)
FROM assignments a JOIN items i ON i.page = a.page AND i.current
WHERE a.rater = ? AND a.released_at IS NULL GROUP BY a.page ORDER BY a.place
"""


@dataclass(frozen=True)
class PageProgress:
    """How far an annotator is with a page. `place` is its number in the address, which never changes."""

    page_id: str
    place: int
    done: int
    total: int


@dataclass(frozen=True)
class Saved:
    """An answer that is on the disk, and how far the annotator is."""

    number: int
    page: PageProgress
    done: int
    total: int


def progress(store: Store, rater: str) -> list[PageProgress]:
    """Return the pages that are an annotator's now, in their order."""
    with store.transaction() as db:
        rows = db.execute(_PROGRESS, (rater,)).fetchall()
    return [PageProgress(page, place, done, total) for page, place, total, done in rows]


def assigned(store: Store, rater: str, place: int) -> tuple[str, str | None]:
    """Return (page, response shown first) of an annotator's page, or refuse where it is not theirs to work on."""
    known = raters.find(store, rater)
    if not known.consented:
        raise Refusal(403, "Please agree first", "Please read and answer the consent form first.", home=True)
    with store.transaction() as db:
        row = db.execute(
            "SELECT a.page, a.shown, a.released_at, p.current FROM assignments a LEFT JOIN pages p USING (page)"
            " WHERE a.rater = ? AND a.place = ?",
            (rater, place),
        ).fetchone()
    if row is None:
        raise Refusal(404, "There is no such page", "This page is not one of yours.", home=True)
    if row[2] is not None:
        raise Refusal(
            409,
            "This page went to somebody else",
            "You were away for a while, so somebody else was asked to finish this page. What you answered is kept. "
            "Thank you; there may be another page for you.",
            reload=True,
            home=True,
        )
    if not row[3]:
        raise Refusal(
            409,
            "This page is no longer needed",
            "The study was changed and does not ask about this page any more. What you answered is kept.",
            reload=True,
            home=True,
        )
    return row[0], row[1]


def stamp(store: Store, page_id: str) -> str:
    """Return what says which wording of a page is on a screen, and tells nobody what that wording was made from."""
    # Keyed with a name that never leaves the file: a plain hash would tell A from B to who can guess its parts.
    key = (store.meta("store") or "").encode()
    with store.transaction() as db:
        (version,) = db.execute("SELECT version FROM pages WHERE page = ?", (page_id,)).fetchone()
    return hashlib.blake2b(f"{page_id}\0{version}".encode(), key=key, digest_size=12).hexdigest()


def open_page(store: Store, rater: str, place: int) -> tuple[str, str | None]:
    """Note that an annotator opens a page: the time of its first answer counts from here. Return as `assigned`."""
    with store.transaction() as db:
        found = assigned(store, rater, place)
        db.execute("UPDATE assignments SET opened_at = ? WHERE rater = ? AND place = ?", (store.now(), rater, place))
        return found


def held(store: Store, rater: str, page_id: str) -> list[dict[str, Any]]:
    """Return {label, flagged, note} for each item of a page, in order: what holds for its wording as it is now.

    A preference is given as this annotator's screen asks it, A to B, wherever the answer came from.
    """
    with store.transaction() as db:
        items = [
            row[0] for row in db.execute("SELECT item FROM items WHERE page = ? AND current ORDER BY place", (page_id,))
        ]
        shown = db.execute("SELECT shown FROM assignments WHERE page = ? AND rater = ?", (page_id, rater)).fetchone()
        rows = db.execute(
            "SELECT s.item, s.kind, s.value, s.first_shown FROM answers s JOIN items i ON i.item = s.item AND"
            " i.version = s.version WHERE i.page = ? AND s.rater = ? ORDER BY s.answer",
            (page_id, rater),
        ).fetchall()
    newest: dict[tuple[str, str], str] = {}
    for item, kind, value, first in rows:
        seen = _as_shown(store, value, first, shown[0] if shown else None) if kind == "label" else value
        newest[item, kind] = seen
    return [
        {
            "label": newest.get((item, "label")),
            "flagged": newest.get((item, "flag")) == "yes",
            "note": newest.get((item, "note"), ""),
        }
        for item in items
    ]


def _as_shown(store: Store, value: str, first: str | None, shown: str | None) -> str:
    """Return a label that was given with one order of the responses as it reads in another."""
    return recoded(recoded(value, first, store.scale), shown, store.scale)


def save(store: Store, rater: str, place: int, item: int, shown_stamp: str, kind: str, value: str) -> Saved:
    """Add an answer of an annotator on item number `item` of a page; raise Refusal where it is not theirs to give.

    The same as what holds already adds nothing, so that a click which is sent twice is one answer.
    """
    if kind not in KINDS or (kind == "flag" and value not in ("yes", "no")):
        raise Refusal(400, "That is no answer", "The app did not understand this. Please reload the page.", reload=True)
    if kind == "label" and value not in store.scale.labels:
        raise Refusal(400, "That is no answer", "This is not one of the answers on the scale.")
    if kind == "note":
        value = value.replace("\r\n", "\n")
        if len(value) > LONGEST_NOTE:
            raise Refusal(
                400,
                "This note is too long",
                f"A note may have {LONGEST_NOTE:,} characters; this one has {len(value):,}.",
            )
    with store.transaction() as db:
        page_id, first_shown = assigned(store, rater, place)
        if shown_stamp != stamp(store, page_id):
            raise Refusal(
                409,
                "This page has changed",
                "The study was changed since you opened this page. Please reload it; what you answered is kept.",
                reload=True,
            )
        row = db.execute("SELECT item, version FROM items WHERE page = ? AND place = ? AND current", (page_id, item))
        found = row.fetchone()
        if found is None:
            raise Refusal(404, "There is no such item", "This page has no item of that number.")
        before = db.execute(
            "SELECT answer, value, first_shown FROM answers WHERE rater = ? AND item = ? AND kind = ? AND version = ?"
            " ORDER BY answer DESC LIMIT 1",
            (rater, found[0], kind, found[1]),
        ).fetchone()
        same = before and (_as_shown(store, before[1], before[2], first_shown) if kind == "label" else before[1])
        if same == value:
            number = before[0]
        else:
            number = db.execute(
                "INSERT INTO answers (rater, item, version, kind, value, first_shown, seconds, answered_at, via)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'app')",
                (rater, *found, kind, value, first_shown, _seconds(store, rater, page_id), store.now()),
            ).lastrowid
        pages = progress(store, rater)
        here = next(page for page in pages if page.page_id == page_id)
        return Saved(number, here, sum(page.done for page in pages), sum(page.total for page in pages))


def _seconds(store: Store, rater: str, page_id: str) -> float:
    """Return the time since the annotator's answer before, or since this page was opened, whichever was later."""
    with store.transaction() as db:
        (opened,) = db.execute(
            "SELECT coalesce(opened_at, assigned_at) FROM assignments WHERE page = ? AND rater = ?", (page_id, rater)
        ).fetchone()
        last = db.execute(
            "SELECT answered_at FROM answers WHERE rater = ? AND via = 'app' ORDER BY answer DESC LIMIT 1", (rater,)
        ).fetchone()
    return max(store.now() - max(opened, last[0] if last else 0), 0) / 1000
