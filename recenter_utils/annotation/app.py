"""The judging app: its addresses, and what holds for each of them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recenter_utils.annotation import screens
from recenter_utils.annotation.admin import Admin
from recenter_utils.annotation.conduct import Conduct
from recenter_utils.annotation.desk import Desk
from recenter_utils.annotation.links import Links
from recenter_utils.annotation.prolific import Entrance
from recenter_utils.annotation.refusals import Refusal
from recenter_utils.annotation.replies import Replies
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.views import Annotating
from recenter_utils.errors import RecenterError

_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-robots-tag": "noindex, nofollow",
}
_LOG = logging.getLogger("recenter.annotation")


class Guard:
    """Stands before the whole app: answers only under its own names, and adds what tells browsers to be careful.

    A page of somebody else's that points a name of theirs at this machine would otherwise speak to the app.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        caching = b"no-cache" if scope["path"].startswith("/static/") else b"no-store"

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *added, (b"cache-control", caching)]
            await send(message)

        said = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if self._hosts is not None and _host(said) not in self._hosts:
            refused = PlainTextResponse("This app does not answer to that name.", 421)
            return await refused(scope, receive, send_guarded)
        await self._app(scope, receive, send_guarded)


def _host(header: str) -> str:
    """Return a Host header without its port, an address of version 6 without its brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def build(store: Store, conduct: Conduct, links: Links, hosts: Collection[str] | None = None) -> Guard:
    """Return the app on a prepared store.

    hosts: the names that it answers to; None is any. The app closes the store when it ends.
    """
    desk = Desk(store)
    replies = Replies(conduct)
    annotating = Annotating(desk, conduct, links, replies)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await desk.close()

    async def health(_: Request) -> Response:
        await desk.do(lambda store: store.meta("task"))
        return PlainTextResponse("ok")

    async def refused(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, Refusal)
        return await replies.refuse(request, problem)

    async def http_problem(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, HTTPException)
        return await replies.refuse(request, _http_refusal(problem.status_code))

    async def not_saved(request: Request, problem: Exception) -> Response:
        # The sentence names the file and the fault, never what was in the request.
        _LOG.error("The answers could not be reached: %s", problem)
        return await replies.refuse(request, _UNAVAILABLE)

    async def broken(request: Request, _: Exception) -> Response:
        return await replies.refuse(request, _BROKEN)

    routes = [
        *annotating.routes(),
        Route("/admin/{token}", Admin(store.path, conduct, links, replies).show),
        *([Route("/prolific", Entrance(desk, conduct, links).enter)] if conduct.prolific else []),
        Route("/health", health),
        Mount("/static", StaticFiles(directory=screens.STATIC, check_dir=False)),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            Refusal: refused,
            HTTPException: http_problem,
            sqlite3.Error: not_saved,
            RecenterError: not_saved,
            Exception: broken,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return Guard(app, hosts)


_UNAVAILABLE = Refusal(
    503,
    "Please try again in a moment",
    "This could not be saved just now. It is not lost if you leave the page open.",
)
_BROKEN = Refusal(
    500, "Something went wrong", "This is a fault of the app, not yours. What you answered before is kept."
)


def _http_refusal(status: int) -> Refusal:
    if status == 404:
        return Refusal(404, "There is nothing here", "Please open the personal link that you were given.")
    return Refusal(status, "This does not work", "The app does not understand this request.")
