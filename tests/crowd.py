"""Many annotators at once: a judging server in a process of its own, and what fifty browsers ask of it."""

from __future__ import annotations

import asyncio
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from recenter_utils.annotation.pages import Page
from recenter_utils.annotation.store import Store
from tests.workspaces import environment

KEY = {"RECENTER_ANNOTATION_KEY": "a key of the tests, the same for as long as they run"}
LABELS = ("rejected", "uncertain", "accepted")

#: (page in the address, item, kind): what an answer is to.
Question = tuple[int, int, str]


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Server:
    """`recenter annotate` on pages of attribute quality; it can be killed and started again at the same address."""

    def __init__(self, workspace: Path, pages: list[Page], *options: str, port: int | None = None) -> None:
        self.workspace = workspace
        self.port = port or free_port()
        self.store = workspace / "data" / "demo" / "annotation" / "attribute_quality.sqlite"
        self.links: dict[str, str] = {}
        self.printed = ""
        file = workspace / "pages.jsonl"
        file.write_text("".join(page.model_dump_json() + "\n" for page in pages), "utf-8")
        self._command = [
            *(sys.executable, "-m", "recenter_utils.cli", "annotate", "demo", "attribute-quality"),
            *("--pages", str(file), "--port", str(self.port), *options),
        ]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, and read the links that it prints; raise with what it says where it does not start."""
        self.printed = ""
        self.process = subprocess.Popen(
            self._command,
            cwd=self.workspace,
            env=environment(self.workspace) | KEY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert self.process.stdout
        for line in self.process.stdout:
            self.printed += line
            if found := re.match(r"  (\S+) .*(http://\S+/a/\S+)", line):
                self.links[found[1]] = found[2]
            if line.startswith("Ctrl-C"):
                return
        raise RuntimeError(self.printed)

    def end(self, how: signal.Signals = signal.SIGINT) -> int:
        """End it, and return its exit code."""
        assert self.process
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=30)
        self.printed += rest
        return self.process.returncode


@contextmanager
def serving(workspace: Path, pages: list[Page], *options: str) -> Iterator[Server]:
    server = Server(workspace, pages, *options)
    server.start()
    try:
        yield server
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


@dataclass
class Annotator:
    """One annotator, whose browser asks again until it hears that an answer is saved, as the page's script does."""

    name: str
    link: str
    think: float
    acknowledged: list[tuple[Question, str]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)  # seconds from a click to its acknowledgement, first try only
    retried: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.name)
        self._base = urlsplit(self.link).path

    async def work(self) -> None:
        """Agree, begin, and answer every page; some answers are corrected, some have notes."""
        where = self.link.removesuffix(self._base)
        # Loopback alone: a proxy that the environment names would be measured too.
        async with httpx2.AsyncClient(base_url=where, timeout=20, trust_env=False) as browser:
            await self._think()
            await self._ask(browser, "POST", f"{self._base}/consent", {"consent": "yes"})
            await self._ask(browser, "POST", f"{self._base}/instructions", {})
            place = 1
            while (page := await self._ask(browser, "GET", f"{self._base}/pages/{place}")).status_code == 200:
                stamp = page.text.partition('name="stamp" value="')[2].partition('"')[0]
                items = len(set(re.findall(rf"/pages/{place}/items/(\d+)", page.text)))
                assert items
                for item in range(1, items + 1):
                    await self._answer(browser, (place, item, "label"), self._random.choice(LABELS), stamp)
                    if self._random.random() < 0.2:
                        await self._answer(browser, (place, item, "label"), self._random.choice(LABELS), stamp)
                    if self._random.random() < 0.2:
                        note = f"{self.name} on item {item} of {place}"
                        await self._answer(browser, (place, item, "note"), note, stamp)
                place += 1

    async def _answer(self, browser: httpx2.AsyncClient, question: Question, value: str, stamp: str) -> None:
        await self._think()
        place, item, kind = question
        before, began = self.retried, time.perf_counter()
        url = f"{self._base}/pages/{place}/items/{item}"
        reply = await self._ask(browser, "POST", url, {"kind": kind, "value": value, "stamp": stamp})
        if self.retried == before:
            self.waits.append(time.perf_counter() - began)
        assert reply.status_code == 200, reply.text
        assert reply.json()["value"] == value
        self.acknowledged.append((question, value))

    async def _ask(
        self, browser: httpx2.AsyncClient, method: str, url: str, form: dict[str, str] | None = None
    ) -> httpx2.Response:
        give_up = time.monotonic() + 60
        while True:
            try:
                return await browser.request(method, url, data=form, headers={"accept": "application/json"})
            except httpx2.TransportError:
                if time.monotonic() > give_up:
                    raise
                self.retried += 1
                await asyncio.sleep(0.1)

    async def _think(self) -> None:
        await asyncio.sleep(self._random.uniform(0.5, 1.5) * self.think)


def crowd(server: Server, think: float) -> list[Annotator]:
    return [Annotator(name, link, think) for name, link in server.links.items()]


def percentile(waits: list[float], share: float) -> float:
    """Return a percentile in milliseconds."""
    return statistics.quantiles(waits, n=1000)[round(share * 1000) - 1] * 1000


def wrong_answers(store_path: Path, annotators: list[Annotator], *, all_of_them: bool) -> list[str]:
    """Return what is wrong with the store: acknowledged answers that are not there, or that are not what was said.

    all_of_them: the annotators are done, so that what holds must be the last thing that each said, and no more.
    """
    wrong = []
    with Store(store_path) as store, store.snapshot() as db:
        for annotator in annotators:
            pages = dict(
                db.execute("SELECT place, page FROM assignments WHERE rater = ?", (annotator.name,)).fetchall()
            )
            rows = db.execute(
                "SELECT i.page, i.place, kind, value FROM answers s JOIN items i USING (item) WHERE rater = ?"
                " ORDER BY answer",
                (annotator.name,),
            ).fetchall()
            kept = {(page, item, kind): value for page, item, kind, value in rows}
            everything = set(rows)
            said = {}
            for (place, item, kind), value in annotator.acknowledged:
                said[pages[place], item, kind] = value
                if (pages[place], item, kind, value) not in everything:
                    wrong.append(f"{annotator.name} was told that {value} on {item} of {place} is saved")
            if all_of_them and kept != said:
                wrong.append(f"{annotator.name} said {said}, kept is {kept}")
            wrong += [
                f"{annotator.name} has {row[3]}" for row in rows if row[2] == "note" and annotator.name not in row[3]
            ]
    return wrong
