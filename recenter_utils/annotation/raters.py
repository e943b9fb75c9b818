"""Who answers on the screens: when they came, what they agreed to, and how their work ended."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from recenter_utils.annotation.assignment import UNFINISHED
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.simulation import PREFIX
from recenter_utils.annotation.store import Store
from recenter_utils.errors import RecenterError

Outcome = Literal["complete", "failed"]

#: What Prolific's participants are called here.
_PARTICIPANT = "participant-"
_NAME = re.compile(r"[\w.@+-]{1,64}")
_PROLIFIC_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Rater:
    """An annotator as the store knows them. `share` is how many pages somebody from Prolific was promised."""

    name: str
    prolific: bool
    consented: bool
    declined: bool
    started: bool
    share: int | None
    outcome: Outcome | None


def names(given: str) -> list[str]:
    """Return annotators' names from `3` (annotator-1 ...) or `anna,ben,eva`; raise where they cannot be told apart."""
    if given.strip().isdecimal():
        if not 1 <= int(given) <= 500:
            raise RecenterError("--annotators takes 1 to 500, or names such as anna,ben,eva.")
        return [f"annotator-{number}" for number in range(1, int(given) + 1)]
    found = [name.strip() for name in given.split(",") if name.strip()]
    for name in found:
        if not _NAME.fullmatch(name):
            raise RecenterError(f"'{name}' cannot be an annotator's name: letters, digits and . _ - @ + can.")
        if name.lower().startswith(PREFIX):
            raise RecenterError(f"'{name}' cannot be a person's name: {PREFIX}... are the simulated annotators.")
        if name.lower().startswith(_PARTICIPANT) and name[len(_PARTICIPANT) :].isdecimal():
            raise RecenterError(f"'{name}' cannot be an annotator's name: Prolific's participants are called so.")
    if not found or len(set(found)) < len(found):
        raise RecenterError(f"--annotators takes a number or different names, such as anna,ben,eva; not '{given}'.")
    return found


def invite(store: Store, raters: Iterable[str]) -> None:
    """Make annotators known, so that their links lead somewhere; raise where one is a participant from Prolific."""
    raters = list(raters)
    with store.transaction() as db:
        taken = {row[0] for row in db.execute("SELECT rater FROM raters WHERE prolific_pid IS NOT NULL")}
        for name in sorted(taken & set(raters)):
            raise RecenterError(f"'{name}' came from Prolific: only they may have the link. Choose another name.")
        db.executemany("INSERT OR IGNORE INTO raters (rater) VALUES (?)", [(name,) for name in raters])


def find(store: Store, name: str) -> Rater:
    """Return an annotator; refuse where nobody is called so."""
    with store.transaction() as db:
        row = db.execute(
            "SELECT prolific_pid IS NOT NULL, consented_at IS NOT NULL, declined_at IS NOT NULL,"
            " started_at IS NOT NULL, share, outcome FROM raters WHERE rater = ?",
            (name,),
        ).fetchone()
    if row is None:
        raise Refusal.unknown_link()
    prolific, consented, declined, started = map(bool, row[:4])
    return Rater(name, prolific, consented, declined, started, row[4], row[5])


def came(store: Store, name: str) -> Rater:
    """Note that an annotator opened their link for the first time, and return them."""
    with store.transaction() as db:
        db.execute("UPDATE raters SET came_at = ? WHERE rater = ? AND came_at IS NULL", (store.now(), name))
        return find(store, name)


def consent(store: Store, name: str, agrees: bool) -> Rater:
    """Note what an annotator said to the consent form, and return them.

    Who withdraws gives back the pages that are not finished; answers stay on record. From Prolific nobody comes back
    from declining: they were shown the code for it.
    """
    with store.transaction() as db:
        rater = find(store, name)
        if agrees and not rater.consented and not (rater.declined and rater.prolific):
            db.execute("UPDATE raters SET consented_at = ?, declined_at = NULL WHERE rater = ?", (store.now(), name))
        if not agrees and not rater.declined and not (rater.outcome and rater.prolific):
            db.execute(
                "UPDATE raters SET declined_at = ?, consented_at = NULL, started_at = NULL WHERE rater = ?",
                (store.now(), name),
            )
            db.execute(
                f"UPDATE assignments AS a SET released_at = ? WHERE rater = ? AND released_at IS NULL AND {UNFINISHED}",
                (store.now(), name),
            )
        return find(store, name)


def from_prolific(store: Store, participant: str, study: str, session: str) -> str:
    """Return the annotator that a Prolific participant is: the one of their first visit, or a new one.

    Refuses ids that are not Prolific's, and somebody who comes with another study or session than before.
    """
    if not all(map(_PROLIFIC_ID.fullmatch, (participant, study, session))):
        raise Refusal(
            400,
            "This link is not complete",
            "Please open the study from Prolific again; its link carries your participant number and the session.",
        )
    with store.transaction() as db:
        known = db.execute(
            "SELECT rater, prolific_pid, prolific_study, prolific_session FROM raters"
            " WHERE prolific_pid = ? OR prolific_session = ?",
            (participant, session),
        ).fetchall()
        if not known:
            (number,) = db.execute("SELECT count(*) FROM raters WHERE prolific_pid IS NOT NULL").fetchone()
            name = f"{_PARTICIPANT}{number + 1}"
            while db.execute("SELECT 1 FROM raters WHERE rater = ?", (name,)).fetchone():
                number += 1
                name = f"{_PARTICIPANT}{number + 1}"
            db.execute(
                "INSERT INTO raters (rater, prolific_pid, prolific_study, prolific_session, came_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (name, participant, study, session, store.now()),
            )
            return name
    if len(known) > 1 or known[0][1:] != (participant, study, session):
        raise Refusal(
            403,
            "You have been here before",
            "Thank you for coming back. Everybody can take part once, and you did so in another session; please return "
            "this submission on Prolific. If you think that this is a mistake, write to the researchers there.",
        )
    return str(known[0][0])
