"""Pages, stores and apps for the tests of judging."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from recenter_utils.annotation import raters
from recenter_utils.annotation.app import build
from recenter_utils.annotation.assignment import Rules
from recenter_utils.annotation.conduct import Codes, Conduct
from recenter_utils.annotation.links import Links
from recenter_utils.annotation.pages import Conversation, Evidence, Item, Page, Turn
from recenter_utils.annotation.store import Store
from recenter_utils.annotation.tasks import find_task

KEY = "a key of the tests, and nobody else's"


class Clock:
    """Seconds since 1970 that pass when a test says so."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def __call__(self) -> float:
        return self.time


def quality_pages(number: int = 4, items: int = 3, checks: int = 0) -> list[Page]:
    """Users, each with one conversation; the last `checks` items of each are check items."""
    return [
        Page(
            page_id=f"user-{page}",
            conversations=(
                Conversation(
                    conversation_id=f"chat-{page}",
                    turns=(Turn(role="user", content=f"I am user {page}."), Turn(role="assistant", content="Hello.")),
                ),
            ),
            items=tuple(
                Item(
                    item_id=f"user-{page}/{item}",
                    attribute=f"Attribute {item} of user {page}.",
                    reason="They say so.",
                    evidence=(Evidence(conversation=0, turn=0),),
                    expected=("rejected", "uncertain") if item > items - checks else None,
                )
                for item in range(1, items + 1)
            ),
        )
        for page in range(1, number + 1)
    ]


def relevance_pages(number: int = 2, items: int = 5) -> list[Page]:
    return [
        Page(
            page_id=f"request-{page}",
            prompt=f"Plan day {page}.",
            items=tuple(Item(item_id=f"request-{page}/{item}", attribute=f"Likes {item}.") for item in range(items)),
        )
        for page in range(number)
    ]


def preference_pages(number: int = 12, items: int = 2) -> list[Page]:
    return [
        Page(
            page_id=f"comparison-{page}",
            prompt=f"Plan day {page}.",
            generic=f"Walk {page}.",
            personalised=f"Swim {page}.",
            items=tuple(Item(item_id=f"comparison-{page}/{item}", attribute=f"Swims {item}.") for item in range(items)),
        )
        for page in range(number)
    ]


PAGES = {"attribute_quality": quality_pages, "relevance": relevance_pages, "preference": preference_pages}


class Judging:
    """An app on a store of its own, and what a browser does with it."""

    def __init__(self, client: TestClient, store: Store, links: Links) -> None:
        self.client = client
        self.store = store  # a connection of the test's own
        self.links = links

    def base(self, rater: str = "anna") -> str:
        return f"/a/{self.links.of_rater(rater)}"

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, **more)

    def begin(self, rater: str = "anna") -> str:
        """Agree, read the instructions, and return the address of the annotator's link."""
        base = self.base(rater)
        assert self.client.post(f"{base}/consent", data={"consent": "yes"}).status_code == 303
        assert self.client.post(f"{base}/instructions").status_code in (303, 409)
        return base

    def stamp(self, base: str, page: int = 1) -> str:
        found = self.client.get(f"{base}/pages/{page}")
        assert found.status_code == 200, found.text
        return found.text.partition('name="stamp" value="')[2].partition('"')[0]

    def save(self, base: str, page: int, item: int, value: str = "accepted", kind: str = "label", **more: str) -> Any:
        """Send an answer as the page's script does."""
        form = {"kind": kind, "value": value, "stamp": more.get("stamp") or self.stamp(base, page)}
        return self.client.post(f"{base}/pages/{page}/items/{item}", data=form, headers={"accept": "application/json"})

    def held(self, base: str, page: int = 1) -> Any:
        return self.client.get(f"{base}/pages/{page}/answers").json()

    def answer_all(self, base: str, value: str = "accepted") -> None:
        page = 1
        while (shown := self.client.get(f"{base}/pages/{page}")).status_code == 200:
            stamp = shown.text.partition('name="stamp" value="')[2].partition('"')[0]
            for item in range(1, len(self.held(base, page)) + 1):
                assert self.save(base, page, item, value, stamp=stamp).status_code == 200
            page += 1


@contextmanager
def judging(
    path: Path,
    pages: list[Page] | None = None,
    *,
    task: str = "attribute_quality",
    rules: Rules | None = None,
    invited: tuple[str, ...] = ("anna", "ben", "eva"),
    clock: Clock | None = None,
    prolific: bool = False,
    codes: Codes | None = None,
    min_passed: float | None = None,
    hosts: set[str] | None = None,
) -> Iterator[Judging]:
    """Serve pages to annotators within this process, following no redirects."""
    clock = clock or Clock()
    store = Store(path, clock)
    store.prepare(task, pages or PAGES[task]())
    raters.invite(store, invited)
    conduct = Conduct("A study", find_task(task), rules or Rules(), prolific, codes or Codes(), min_passed)
    links = Links(KEY, store.meta("store") or "")
    with (
        TestClient(build(store, conduct, links, hosts), follow_redirects=False) as client,
        Store(path, clock) as own,
    ):
        yield Judging(client, own, links)
