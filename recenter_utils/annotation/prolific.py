"""Participants from Prolific: they arrive with their numbers, and go on with a personal link."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from recenter_utils.annotation import raters
from recenter_utils.annotation.assignment import has_room
from recenter_utils.annotation.conduct import Conduct
from recenter_utils.annotation.desk import Desk
from recenter_utils.annotation.links import Links
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.store import Store


class Entrance:
    """The address that a Prolific study names, with its three URL parameters."""

    def __init__(self, desk: Desk, conduct: Conduct, links: Links) -> None:
        self._desk = desk
        self._conduct = conduct
        self._links = links

    async def enter(self, request: Request) -> Response:
        """Lead a participant to their personal link: the same one each time they come."""
        given = request.query_params
        participant, study, session = (given.get(name, "") for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))

        def admit(store: Store) -> str:
            with store.transaction() as db:
                before = db.execute("SELECT count(*) FROM raters").fetchone()
                name = raters.from_prolific(store, participant, study, session)
                is_new = db.execute("SELECT count(*) FROM raters").fetchone() != before
                if is_new and not has_room(store, self._conduct.rules):
                    raise Refusal(
                        409,
                        "All places are taken",
                        "Other participants have all pages at the moment. Thank you for coming; please return this "
                        "submission on Prolific, or try again later.",
                    )
                return name

        name = await self._desk.do(admit)
        return RedirectResponse(f"/a/{self._links.of_rater(name)}", 303)
