"""A headless Chromium, a judging server in a process of its own, and annotators who sit at them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from recenter_utils.annotation.pages import Conversation, Evidence, Item, Turn
from recenter_utils.annotation.pages import Page as Questions
from recenter_utils.annotation.store import Store
from tests.workspaces import environment, new_workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
KEY = {"RECENTER_ANNOTATION_KEY": "a key of the tests, the same for as long as they run"}
LAPTOP, PHONE = (1280, 800), (390, 844)
SAVED = "#saving[data-state=saved]"


@pytest.fixture(scope="module")  # not longer: it holds an event loop, which others' asyncio.run would refuse to share
def browser() -> Iterator[Browser]:
    """One Chromium for a module. Where there is none the tests are skipped, in CI they fail."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        if os.environ.get("CI") or os.environ.get("RECENTER_REQUIRE_BROWSER"):
            pytest.fail("there is no chromium on this machine, and the screens must be driven in one")
        pytest.skip("there is no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield started
        started.close()


class Server:
    """`recenter annotate` in a process of its own, which can be killed and started again at the same address."""

    def __init__(self, workspace: Path, task: str, pages: Path, annotators: Sequence[str]) -> None:
        self.workspace, self.task, self.pages = workspace, task, pages
        self.annotators = annotators
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.links: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Server:
        """Start it and read everybody's link from what it prints."""
        names = ",".join(self.annotators)
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "recenter_utils.cli", "annotate", "demo", self.task),
                *("--pages", str(self.pages), "--annotators", names, "--per-item", str(len(self.annotators))),
                *("--port", str(self.port)),
            ],
            cwd=self.workspace,
            env=environment(self.workspace) | KEY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            said.append(line)
            words = line.split()
            if words and words[0] in self.annotators:
                self.links[words[0]] = words[-1]
            if line.startswith("  To watch"):
                self.links["admin"] = words[-1]
            if line.startswith("Ctrl-C"):
                break
        else:
            pytest.fail("the server did not start: " + "".join(said))
        for _ in range(200):  # it listens before it prints, and answers soon after
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.05)
        pytest.fail("the server does not answer")

    @property
    def runs(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            if self._process.stdout:
                self._process.stdout.close()
            self._process = None

    def answers(self) -> pl.DataFrame:
        """Return what the store holds, read beside the running server."""
        with Store(self.workspace / "data" / "demo" / "annotation" / f"{self.task}.sqlite") as store:
            return store.answers()

    def labels(self) -> dict[tuple[str, str], str]:
        """Return the labels that hold, by rater and item."""
        return {(row["rater"], row["item_id"]): row["label"] for row in self.answers().iter_rows(named=True)}


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start a server: serve(task, pages, annotators). All are killed in the end."""
    servers: list[Server] = []

    def start(task: str, pages: Sequence[Questions], annotators: Sequence[str]) -> Server:
        folder = tmp_path_factory.mktemp(task)
        file = folder / "pages.jsonl"
        write(file, pages)
        servers.append(Server(new_workspace(folder / "workspace"), task, file, annotators))
        return servers[-1].start()

    yield start
    for server in servers:
        server.kill()


def chat(name: str, *said: str) -> Conversation:
    turns = (Turn(role="assistant" if place % 2 else "user", content=text) for place, text in enumerate(said))
    return Conversation(conversation_id=name, turns=tuple(turns))


def questions(task: str, counts: tuple[int, ...] = (3, 2, 2)) -> list[Questions]:
    """Pages with so many items each."""
    pages = []
    for place, count in enumerate(counts):
        items = tuple(
            Item(
                item_id=f"secret-{place}-{number}",
                attribute=f"Likes thing {place}.{number}.",
                reason="The user says so." if task == "attribute_quality" else "",
                evidence=(Evidence(conversation=1, turn=0), Evidence(conversation=0, turn=2))
                if task == "attribute_quality"
                else (),
            )
            for number in range(count)
        )
        chats = (
            chat(f"veiled-{place}-1", "Hello there.", "Hello.", f"I like thing {place}.", "Good."),
            chat(f"veiled-{place}-2", "Things again.", "A " + "long answer. " * 400, "Thanks."),
        )
        more: dict[str, Any] = {
            "attribute_quality": {"conversations": chats},
            "relevance": {"prompt": f"Plan an evening, number {place}."},
            "preference": {"prompt": "Plan one.", "generic": "**Plain** plan.", "personalised": "*Fitting* plan."},
        }[task]
        pages.append(Questions(page_id=f"covert-{place}", items=items, **more))
    return pages


def write(file: Path, pages: Sequence[Questions]) -> None:
    """Write pages as the app reads them."""
    file.write_text("".join(page.model_dump_json() + "\n" for page in pages), encoding="utf-8")


@dataclass
class Seat:
    """An annotator at a browser, with all that should not have happened there."""

    context: BrowserContext
    page: Page
    scripts: bool = True
    problems: list[str] = field(default_factory=list)
    asked_to_stay: int = 0

    def begin(self, link: str) -> Page:
        """Follow a link for the first time, through consent and instructions."""
        self.page.goto(link)
        self.page.click("button[value=yes]")
        self.page.click("form button")
        return self.ready()

    def ready(self) -> Page:
        """Wait until the page's script is at work; a click before that sends a form, which is another test."""
        if self.scripts:
            self.page.wait_for_selector(".alive article.item.current")
        return self.page

    def saved(self) -> None:
        """Wait until everything is acknowledged."""
        self.page.wait_for_selector(SAVED)
        assert self.page.locator("#unsaved").is_hidden()


def sit_down(browser: Browser, size: tuple[int, int] = LAPTOP, **more: Any) -> Seat:
    """Open a browser profile of its own, in which nobody was before."""
    phone = {"is_mobile": True, "has_touch": True} if size == PHONE else {}
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **phone, **more)
    context.set_default_timeout(15_000)
    seat = Seat(context, context.new_page(), more.get("java_script_enabled", True))
    context.add_init_script(
        "window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective))"
    )

    def ask(dialog: Any) -> None:
        if dialog.type == "beforeunload":
            seat.asked_to_stay += 1
            dialog.accept()
        else:
            seat.problems.append(f"dialog: {dialog.message}")
            dialog.dismiss()

    def request(request: Any) -> None:
        if urlsplit(request.url).hostname != "127.0.0.1":
            seat.problems.append(f"left the origin: {request.url}")

    context.on("dialog", ask)
    context.on("request", request)
    context.on("weberror", lambda error: seat.problems.append(f"script error: {error.error}"))
    context.on(
        "console",
        lambda said: "Content Security Policy" in said.text and seat.problems.append(f"console: {said.text}"),
    )
    return seat
