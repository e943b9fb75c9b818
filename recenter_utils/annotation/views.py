"""What an annotator sees: consent, instructions, pages, and the end. Whose screen it is, the signed link says alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from recenter_utils.annotation import raters, saving
from recenter_utils.annotation.assignment import hand_out
from recenter_utils.annotation.conduct import Conduct
from recenter_utils.annotation.contexts import page_context
from recenter_utils.annotation.desk import Desk
from recenter_utils.annotation.forms import form, number
from recenter_utils.annotation.links import Links
from recenter_utils.annotation.markdown import render_ours
from recenter_utils.annotation.progress import finish
from recenter_utils.annotation.raters import Rater
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.replies import Replies, wants_json
from recenter_utils.annotation.saving import PageProgress
from recenter_utils.annotation.screens import PAGES
from recenter_utils.annotation.store import Store


class Annotating:
    """The addresses under one annotator's link."""

    def __init__(self, desk: Desk, conduct: Conduct, links: Links, replies: Replies) -> None:
        self._desk = desk
        self._conduct = conduct
        self._links = links
        self._replies = replies

    def routes(self) -> list[Route]:
        """Return the addresses."""
        base, page = "/a/{token}", "/a/{token}/pages/{page}"
        return [
            Route(base, self.home),
            Route(f"{base}/consent", self.consent),
            Route(f"{base}/consent", self.answer_consent, methods=["POST"]),
            Route(f"{base}/instructions", self.instructions),
            Route(f"{base}/instructions", self.start, methods=["POST"]),
            Route(page, self.page),
            Route(f"{page}/answers", self.answers),
            Route(f"{page}/items/{{item}}", self.save, methods=["POST"]),
            Route(f"{base}/done", self.done),
        ]

    # -- before the first page ----------------------------------------------------------------------------

    async def home(self, request: Request) -> Response:
        """Lead to where the annotator goes on."""
        name, base = self._who(request)
        rater, pages = await self._desk.do(lambda store: self._whereabouts(store, name))
        if rater.declined:
            return await self._declined(base, rater)
        if not rater.consented:
            return _to(f"{base}/consent")
        if not rater.started:
            return _to(f"{base}/instructions")
        if rater.prolific and rater.outcome:
            return _to(f"{base}/done")
        waiting = _waiting(pages)
        return _to(f"{base}/pages/{waiting.place}" if waiting else f"{base}/done")

    async def consent(self, request: Request) -> Response:
        """Show the consent form."""
        name, base = self._who(request)
        rater = await self._desk.do(lambda store: raters.came(store, name))
        if rater.declined and rater.prolific:
            return await self._declined(base, rater)
        return await self._show(
            "consent.html",
            base,
            text=render_ours(self._conduct.text("consent")),
            declined=rater.declined,
            consented=rater.consented,
        )

    async def answer_consent(self, request: Request) -> Response:
        """Note what was said to the consent form."""
        name, base = self._who(request)
        said = (await form(request)).get("consent")
        if said not in ("yes", "no"):
            raise Refusal(400, "Please choose", "Please say whether you agree to take part.", home=True)
        await self._desk.do(lambda store: raters.consent(store, name, said == "yes"))
        return _to(base)

    async def instructions(self, request: Request) -> Response:
        """Show the instructions."""
        name, base = self._who(request)

        def look(store: Store) -> tuple[Rater, list[PageProgress], int]:
            return raters.came(store, name), saving.progress(store, name), store.n_pages()

        rater, pages, there = await self._desk.do(look)
        cap = self._conduct.rules.cap
        if not rater.consented:
            return _to(base)
        return await self._show(
            "instructions.html",
            base,
            pages,
            text=render_ours(self._conduct.text("instructions")),
            started=rater.started,
            pages=len(pages) or (min(cap, there) if cap else None),
        )

    async def start(self, request: Request) -> Response:
        """Hand out pages to somebody who has read the instructions."""
        name, base = self._who(request)
        pages = await self._desk.do(lambda store: self._start(store, name))
        # Not to `base`: who has finished would land at the end again, and came here to look at the pages.
        return _to(f"{base}/pages/{(_waiting(pages) or pages[0]).place}" if pages else base)

    def _start(self, store: Store, name: str) -> list[PageProgress]:
        with store.transaction() as db:
            rater = raters.find(store, name)
            if not rater.consented:
                raise Refusal(403, "Please agree first", "Please read and answer the consent form first.", home=True)
            if not rater.started:
                hand_out(store, name, self._conduct.rules, rater.share)
                pages = saving.progress(store, name)
                if not pages:
                    raise self._no_page_left()
                db.execute(
                    "UPDATE raters SET started_at = ?, share = coalesce(share, ?) WHERE rater = ?",
                    (store.now(), len(pages) if rater.prolific else None, name),
                )
            return saving.progress(store, name)

    def _whereabouts(self, store: Store, name: str) -> tuple[Rater, list[PageProgress]]:
        rater = raters.came(store, name)
        ended = self._make_up(store, rater)
        pages = saving.progress(store, name)
        if rater.started and not pages and not ended:
            raise self._no_page_left()
        return rater, pages

    def _make_up(self, store: Store, rater: Rater) -> bool:
        """Make up for pages that were taken back, or that a rerun of the study brought; return whether it is over."""
        ended = rater.prolific and rater.outcome is not None  # was shown the code: nothing more is asked
        if rater.started and not ended:
            hand_out(store, rater.name, self._conduct.rules, rater.share)
        return ended

    def _end(self, store: Store, name: str) -> tuple[Rater, list[PageProgress]]:
        with store.transaction():
            # First: the pages held now may be a part of those that were promised.
            self._make_up(store, raters.find(store, name))
            return finish(store, name, self._conduct.min_passed)

    def _no_page_left(self) -> Refusal:
        back = " Please return your submission on Prolific." if self._conduct.prolific else ""
        return Refusal(
            409,
            "There is no page left for you",
            f"All pages are with other annotators at the moment. Thank you for coming.{back}",
        )

    # -- judging ------------------------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """Show a page with what the annotator answered on it."""
        name, base = self._who(request)
        place = number(request, "page")

        def look(store: Store) -> Any:
            rater = raters.find(store, name)
            if not (rater.consented and rater.started):
                return None
            # A link preview asks with HEAD, and nobody reads a page then.
            find = saving.assigned if request.method == "HEAD" else saving.open_page
            page_id, shown = find(store, name, place)
            return (
                (page_id, store.page(page_id), shown, saving.stamp(store, page_id)),
                saving.held(store, name, page_id),
                saving.progress(store, name),
            )

        found = await self._desk.do(look)
        if found is None:
            return _to(base)
        (page_id, page, shown, stamp), held, pages = found
        urls = [f"{base}/pages/{mine.place}" for mine in pages]
        return await self._show(
            PAGES[self._conduct.task.scale.task],
            base,
            pages,
            page=page_context(page, shown, stamp, held, [mine.page_id for mine in pages].index(page_id), urls),
        )

    async def answers(self, request: Request) -> Response:
        """Return what the annotator answered on a page, for another tab of theirs."""
        name, _ = self._who(request)
        place = number(request, "page")

        def look(store: Store) -> list[dict[str, Any]]:
            page_id, _ = saving.assigned(store, name, place)
            return saving.held(store, name, page_id)

        return JSONResponse(await self._desk.do(look))

    async def save(self, request: Request) -> Response:
        """Save one answer; it is acknowledged when it is on the disk."""
        name, base = self._who(request)
        place, item = number(request, "page"), number(request, "item")
        given = await form(request)
        stamp, kind, value = (given.get(field, "") for field in ("stamp", "kind", "value"))
        saved = await self._desk.do(lambda store: saving.save(store, name, place, item, stamp, kind, value))
        if not wants_json(request):
            return _to(f"{base}/pages/{place}#item-{item}")
        return JSONResponse(
            {
                "saved": saved.number,
                "kind": kind,
                "value": value,
                "page": {"done": saved.page.done, "total": saved.page.total},
                "all": {"done": saved.done, "total": saved.total},
            }
        )

    async def done(self, request: Request) -> Response:
        """Show the end: what lacks, or that all is answered, with the code for it."""
        name, base = self._who(request)
        conduct = self._conduct
        rater, pages = await self._desk.do(lambda store: self._end(store, name))
        if not rater.started:
            return _to(base)
        missing = [
            {"number": at, "url": f"{base}/pages/{page.place}"}
            for at, page in enumerate(pages, 1)
            if page.done < page.total
        ]
        ended = rater.outcome is not None and (rater.prolific or (bool(pages) and not missing))
        if not ended and not missing:
            return _to(base)
        failed = ended and rater.outcome == "failed"
        code = (conduct.codes.failed if failed else conduct.codes.completion) if ended else None
        return await self._show(
            "done.html",
            base,
            pages,
            complete=ended,
            failed=failed,
            code=code,
            link=conduct.link(code),
            missing=[] if ended else missing,
            prolific=rater.prolific,
        )

    # -- what they share ----------------------------------------------------------------------------------

    def _who(self, request: Request) -> tuple[str, str]:
        """Return the annotator's name and the beginning of their addresses, or refuse."""
        token = request.path_params["token"]
        name = self._links.rater(token)
        if name is None:
            raise Refusal.unknown_link()
        return name, f"/a/{token}"

    async def _declined(self, base: str, rater: Rater) -> Response:
        code = self._conduct.codes.declined if rater.prolific else None
        return await self._show(
            "declined.html",
            base,
            code=code,
            link=self._conduct.link(code),
            prolific=rater.prolific,
            can_return=not rater.prolific,
        )

    async def _show(self, template: str, base: str, mine: Sequence[PageProgress] = (), /, **values: Any) -> Response:
        progress = {
            "done": sum(page.done for page in mine),
            "total": sum(page.total for page in mine),
            "pages": [
                {"number": at, "done": page.done, "total": page.total, "url": f"{base}/pages/{page.place}"}
                for at, page in enumerate(mine, 1)
            ],
        }
        task = self._conduct.task
        return await self._replies.show(
            template,
            base=base,
            task=task.name,
            question=task.scale.question,
            scale=self._conduct.buttons,
            progress=progress,
            **values,
        )


def _waiting(pages: Sequence[PageProgress]) -> PageProgress | None:
    return next((page for page in pages if page.done < page.total), None)


def _to(url: str) -> Response:
    return RedirectResponse(url, 303)
