"""What a page's template is given: numbers in the place of ids, and responses in the order drawn for the annotator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recenter_utils.annotation.pages import Page


def page_context(
    page: Page, first_shown: str | None, stamp: str, held: Sequence[dict[str, Any]], place: int, urls: Sequence[str]
) -> dict[str, Any]:
    """Return what a page shows.

    held: what the annotator answered so far, an entry an item. place: the page's own among `urls`, the addresses of all
    the annotator's pages.
    """
    url = urls[place]
    responses = (page.generic, page.personalised)
    left, right = responses[::-1] if first_shown == "personalised" else responses
    return {
        "number": place + 1,
        "count": len(urls),
        "url": url,
        "stamp": stamp,
        "previous_url": urls[place - 1] if place else None,
        "next_url": urls[place + 1] if place + 1 < len(urls) else None,
        "done_url": f"{url.rpartition('/pages/')[0]}/done",
        "answers_url": f"{url}/answers",
        "conversations": _conversations(page),
        "prompt": page.prompt,
        "left": left,
        "right": right,
        "items": _items(page, held, url),
    }


def _conversations(page: Page) -> list[dict[str, Any]]:
    return [
        {
            "number": number + 1,
            "turns": [
                {"target": f"c{number}-t{place}", "role": turn.role, "content": turn.content}
                for place, turn in enumerate(chat.turns)
            ],
        }
        for number, chat in enumerate(page.conversations)
    ]


def _items(page: Page, held: Sequence[dict[str, Any]], url: str) -> list[dict[str, Any]]:
    return [
        {
            "number": number,
            "url": f"{url}/items/{number}",
            "attribute": item.attribute,
            "reason": item.reason,
            "evidence": [
                {
                    "target": f"c{spot.conversation}-t{spot.turn}",
                    "words": f"Chat {spot.conversation + 1}, turn {spot.turn + 1}",
                }
                for spot in item.evidence
            ],
            "answer": answer,
        }
        for number, (item, answer) in enumerate(zip(page.items, held, strict=True), 1)
    ]
