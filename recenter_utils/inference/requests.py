"""What is asked of an engine and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from recenter_utils.inference.final_line import FinalLine
from recenter_utils.inference.models import Model
from recenter_utils.inference.rules import version as rules_version
from recenter_utils.inference.tasks import Task

ErrorKind = Literal["context_length", "unparsed", "truncated", "refused", "server", "budget"]


@dataclass(frozen=True, slots=True)
class Request:
    """One question, ready to be asked.

    `messages` are OpenAI chat messages; `schema` is the JSON schema of the answer (None: free text).
    `slots` holds the values that the prompt was filled with: the embedded engine reads these, other
    engines read only the messages. Neither holds an item's identifier or any planted truth.
    `line`: the final line of an answer whose probability is wanted.
    """

    key: bytes
    task: str
    messages: list[dict[str, str]]
    schema: dict[str, Any] | None
    sampling: Mapping[str, Any]
    slots: Mapping[str, Any] = field(default_factory=dict)
    line: FinalLine | None = None


@dataclass(slots=True)
class Answer:
    """What an engine says to one request: text, or an error with its detail in words.

    `score`: probability of yes against no at the final word, 0 to 1, where it was wanted and is known.
    """

    text: str | None = None
    error: ErrorKind | None = None
    detail: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    asked: int = 1  # how many times the server was called for it, retries included
    score: float | None = None


@dataclass(frozen=True)
class Questions:
    """A task, the model it is put to and how: what makes an item into a request."""

    task: Task
    model: Model
    sampling: Mapping[str, Any]
    sample: int = 0

    @classmethod
    def of(cls, task: Task, model: Model, sampling: Mapping[str, Any] | None, sample: int) -> Questions:
        """Put the settings together: the prompt's, over them the caller's, over them the model's own."""
        settings = {**task.prompt.sampling, **(sampling or {}), **model.sampling}
        # None takes a setting away: some models refuse to be told a temperature.
        return cls(task, model, {name: value for name, value in settings.items() if value is not None}, sample)

    @property
    def repeatable(self) -> bool:
        """Whether the same question gets the same answer, so that asking again is of little use."""
        return self.sampling.get("temperature") == 0

    def keys(self, items: Iterable[Mapping[str, Any]]) -> list[bytes]:
        """Return the cache key of every item.

        In a key: what decides the answer (engine and its rules, served name, the options that matter, the prompt's
        text and what fills it, sampling, schema, sample index). Not in it: addresses, keys, concurrency, timeouts,
        prices, retries; nor whether log-probabilities came along, which follows from the task and the server and
        changes no answer. An answer stored without its score therefore stays without one.
        """
        prompt, model = self.task.prompt, self.model
        rules = rules_version() if model.engine == "embedded" else ""
        decides = (
            (model.engine, rules, model.asked_name, model.decisive_options, dict(self.sampling)),
            (self.task.schema, self.sample, prompt.sections),
        )
        shared = hashlib.blake2b(json.dumps(decides, sort_keys=True).encode(), digest_size=16)
        keys = []
        for slots in items:
            digest = shared.copy()
            digest.update("\x00".join(prompt.data(slots)).encode())
            keys.append(digest.digest())
        return keys

    def request(self, key: bytes, slots: Mapping[str, Any]) -> Request:
        """Return the request that asks one item."""
        task = self.task
        messages = task.prompt.messages(slots)
        return Request(key, task.name, messages, task.schema, self.sampling, slots, task.line)
