"""A server that answers as it should, but for some requests: studies that ask it through `recenter run`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fake_server import Asked, FakeServer, Reply, completion
from tests.faults.lab import STUDY, Lab, cache_of, differing, repeated, study_of, watch
from tests.faults.outcome import Outcome
from tests.planted_study import change
from tests.workspaces import recenter

#: Seconds that the model's entry waits for an answer: of a faulty server, and of one that answers on a busy machine.
TIMEOUT, PATIENT = 3.0, 120.0

ENTRY = "served: {{engine: openai, base_url: '{url}', timeout: {timeout}, retries: 0, concurrency: 8}}\n"


@dataclass(frozen=True)
class Part:
    """A part of the study whose model is the server: its role, its notebook and tables."""

    role: str
    models: str | list[str]
    notebook: str
    tables: tuple[str, ...]


PARTS = (
    Part("extraction", "served", "02-attributes", ("attributes", "extractions")),
    Part("preference", ["served"], "20-preferences", ("preference_judgments", "swapped_judgments", "position_bias")),
)


def answer(body: dict[str, Any]) -> str:
    """Return what the server says to a request when nothing is wrong: the same to the same request."""
    drawn = number(body)
    if body["response_format"]["json_schema"]["name"] == "preference":
        return json.dumps({"reasoning": f"Drawn as {drawn}.", "rating": 1 + drawn % 5})
    found = {"reason": "Said so.", "confidence": 0.9, "evidence_turns": [0]}
    return json.dumps({"attributes": [found | {"attribute": f"Likes number {drawn % 97}."}] * (drawn % 3)})


def number(body: dict[str, Any]) -> int:
    """Return a number that is drawn by what is asked."""
    return int.from_bytes(hashlib.blake2b(json.dumps(body["messages"]).encode(), digest_size=4).digest())


def well(asked: Asked) -> Reply:
    """Answer as a server should."""
    return Reply(completion(answer(asked.body)))


def lies(asked: Asked) -> Reply:
    """Answer, and claim numbers of tokens that cannot be."""
    claims: list[Any] = [
        {"prompt_tokens": 10**30, "completion_tokens": -5},
        {"prompt_tokens": "many", "completion_tokens": None},
        [1],
        None,
    ]
    return Reply(completion(answer(asked.body), usage=claims[number(asked.body) % len(claims)]))


#: What a server does instead of answering, and words that the run must say of it; none: nothing is missing.
FAULTS: dict[str, tuple[Callable[[Asked], Reply], str]] = {
    "hangs": (lambda asked: Reply(completion(answer(asked.body)), after=600), f"no answer within {TIMEOUT:g} s"),
    "drips, a byte at a time": (
        lambda asked: Reply(completion(answer(asked.body)), drip=0.2),
        f"no answer within {TIMEOUT:g} s",
    ),
    "lies about usage": (lies, ""),
    "answers in another model's shape": (
        lambda asked: Reply({"type": "message", "content": [{"type": "text", "text": answer(asked.body)}]}),
        "the answer is no chat completion",
    ),
    "breaks off in half a stream": (
        lambda asked: Reply(completion(answer(asked.body)), cut=True),
        "the connection failed",
    ),
}


class Faulty:
    """How a fake server behaves: one request in `every` gets the fault, 0: none does. Counts what it did."""

    def __init__(self, fault: Callable[[Asked], Reply]) -> None:
        self.fault, self.every, self.injected = fault, 0, 0

    def __call__(self, asked: Asked) -> Reply:
        """Answer one request."""
        bad = self.every and number(asked.body) % self.every == 0
        self.injected += bool(bad)
        return self.fault(asked) if bad else well(asked)


def asks(lab: Lab, part: Part, url: str) -> Path:
    """Return a workspace in which only this part is to be done, by the server."""
    workspace = lab.copy(lab.undisturbed, f"served-{part.role}")
    watch(cache_of(workspace))
    wait(workspace, url, PATIENT)
    change(workspace, models={part.role: part.models})
    return workspace


def wait(workspace: Path, url: str, timeout: float) -> None:
    """Say in the models file how long the server is waited for."""
    (study_of(workspace) / "models.yaml").write_text(ENTRY.format(url=url, timeout=timeout), encoding="utf-8")


def disturbed(lab: Lab) -> list[Outcome]:
    """Inject every fault of a server, first into all requests of a run, then into one in twenty, then into none."""
    outcomes = []
    undisturbed: dict[str, Path] = {}
    for name, (fault, words) in FAULTS.items():
        outcome = Outcome(f"server {name}")
        with outcome.timed():
            for part in PARTS:
                if part.role not in undisturbed:
                    undisturbed[part.role] = _run(lab, part, Faulty(well), [0], Outcome(""), "")
                server = Faulty(fault)
                workspace = _run(lab, part, server, [1, 20, 0] if words else [1], outcome, words)
                problem = outcome.problem or differing(workspace, undisturbed[part.role], part.tables)
                outcome.add(server.injected, problem, repeated(cache_of(workspace)))
        outcomes.append(outcome)
        lab.say(f"  {outcome.fault}: {outcome.injected:,} answers, {outcome.lost} lost")
    return outcomes


def _run(lab: Lab, part: Part, behave: Faulty, shares: list[int], outcome: Outcome, words: str) -> Path:
    """Run the part once for each share of faulty answers, on one workspace; return it."""
    with FakeServer(behave) as server:
        workspace = asks(lab, part, server.url)
        for share in shares:
            behave.every = share
            wait(workspace, server.url, TIMEOUT if share else PATIENT)
            done = recenter(workspace, "run", STUDY, "--only", part.notebook)
            if share and words:
                outcome.problem = outcome.problem or outcome.heard(done.stderr, words)
            elif done.returncode:
                outcome.problem = outcome.problem or f"the run failed: {done.stderr[-500:]}"
    return workspace
