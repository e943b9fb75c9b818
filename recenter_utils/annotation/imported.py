"""Answers that were given elsewhere, added to a store: all of them or none, and the same again changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from recenter_utils.annotation.schema import recoded
from recenter_utils.errors import RecenterError, first_rows
from recenter_utils.scales import Scale


def add_imported(
    db: sqlite3.Connection,
    rows: Sequence[Mapping[str, Any]],
    scale: Scale,
    via: str,
    now: int,
    skip_different: bool = False,
) -> dict[str, int]:
    """Add answers within a transaction of the caller's; see `Store.import_answers`."""
    counts = {"added": 0, "already": 0, "different": 0, "raters": 0}
    versions = dict(db.execute("SELECT item, version FROM items").fetchall())
    _refuse("unknown items", [f"'{row['item_id']}'" for row in rows if row["item_id"] not in versions])
    _refuse(
        f"labels outside the scale ({', '.join(scale.labels)})",
        [f"'{row['label']}' on {row['item_id']}" for row in rows if row["label"] not in scale.labels],
    )
    other = []
    for row in rows:
        rater, item, shown, at = row["rater"], row["item_id"], row.get("first_shown"), row.get("answered_at")
        if holds := _contradicted(_there(db, rater, item, "label", versions[item]), row["label"], scale, via):
            other.append(f"{rater} on {item} said {holds} before, now {row['label']}")
            continue
        counts["raters"] += db.execute(
            "INSERT OR IGNORE INTO raters (rater, came_at) VALUES (?, ?)", (rater, now)
        ).rowcount
        told = {
            "label": recoded(row["label"], shown, scale),
            "flag": "yes" if row.get("flagged") else None,
            "note": row.get("note") or None,
        }
        for kind, value in told.items():
            there = _there(db, rater, item, kind, versions[item])
            counts["already"] += kind == "label" and bool(there)
            known = there and (kind == "label" or there[0][0] == value or any(source == via for *_, source in there))
            if value is not None and not known:
                db.execute(
                    "INSERT INTO answers (rater, item, version, kind, value, first_shown, answered_at, via)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (rater, item, versions[item], kind, value, shown, at and int(at.timestamp() * 1000), via),
                )
                counts["added"] += kind == "label"
    if not skip_different:
        _refuse("answers that differ from what the same rater said before", other)
    counts["different"] = len(other)
    return counts


def _contradicted(there: Sequence[tuple[str, str | None, str]], label: str, scale: Scale, via: str) -> str | None:
    """Return the label that holds, if a row says another; None where it says the same or is new.

    What this very file brought in may have been corrected on the screens since; that stays, and is no contradiction.
    """
    said = {recoded(old, first, scale) for old, first, source in there if source == via}
    holds = recoded(there[0][0], there[0][1], scale) if there else label
    return None if label in said | {holds} else holds


def _there(db: sqlite3.Connection, rater: str, item: str, kind: str, version: str) -> list[tuple[str, str | None, str]]:
    """Return (value, first_shown, via) of all that a rater said on an item as it is worded now, the newest first."""
    return db.execute(
        "SELECT value, first_shown, via FROM answers WHERE rater = ? AND item = ? AND kind = ? AND version = ?"
        " ORDER BY answer DESC",
        (rater, item, kind, version),
    ).fetchall()


def _refuse(what: str, rows: Sequence[str]) -> None:
    if rows:
        raise RecenterError(f"Nothing was imported: {what} ({len(rows):,}): {first_rows(rows)}.")
