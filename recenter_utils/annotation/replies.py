"""What the app answers with: pages from templates, and refusals for people and for scripts."""

from __future__ import annotations

from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from recenter_utils.annotation import screens
from recenter_utils.annotation.conduct import Conduct
from recenter_utils.annotation.refusals import Refusal


class Replies:
    """Renders templates, off the event loop: a long page must not hold up anybody's click."""

    def __init__(self, conduct: Conduct) -> None:
        self._environment = screens.environment()
        self._title = conduct.title
        # One page at a time: forty threads that render would each take a turn before the loop gets one.
        self._one = CapacityLimiter(1)

    async def show(self, name: str, status: int = 200, **values: Any) -> Response:
        """Return a page made from a template."""
        template = self._environment.get_template(name)
        render = partial(template.render, study_title=self._title, **values)
        return HTMLResponse(await to_thread.run_sync(render, limiter=self._one), status)

    async def refuse(self, request: Request, refusal: Refusal) -> Response:
        """Return a refusal: to a script as JSON, to a person as a page."""
        if wants_json(request):
            return JSONResponse({"error": refusal.sentence, "reload": refusal.reload}, refusal.status)
        token = request.path_params.get("token")
        link = {"url": f"/a/{token}", "words": "Go on with your work"} if refusal.home and token else None
        return await self.show(
            "problem.html",
            refusal.status,
            title=refusal.title,
            sentence=refusal.sentence,
            reload=refusal.reload,
            link=link,
        )


def wants_json(request: Request) -> bool:
    """Whether a script asks, and not somebody who follows a link or sends a form."""
    return "application/json" in request.headers.get("accept", "")
