"""Counting what would be asked, without asking: while somebody counts, `run` asks no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from recenter_utils.inference.requests import Answer, Questions, Request

#: What a model might say to an item of a task, as JSON: for tasks whose answers decide what else is asked.
Imagined = Mapping[str, Callable[[Mapping[str, Any]], str]]

T = TypeVar("T")


class Known(NamedTuple):
    """A stored answer's size: characters of its prompt, and tokens of prompt and answer as its server counted them."""

    characters: int
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True)
class Call:
    """One call of `run`: how many different requests it makes, those that would be asked, and stored answers' sizes."""

    questions: Questions
    requests: int
    pending: Sequence[Request]
    known: Sequence[Known]


@dataclass
class Count:
    """What calls of `run` came to; see `counting`."""

    sample: int
    imagined: Imagined
    calls: list[Call] = field(default_factory=list)

    def take(
        self,
        questions: Questions,
        pending: Sequence[Request],
        answered: Mapping[bytes, Answer],
        items: Mapping[bytes, Mapping[str, Any]],
    ) -> dict[bytes, Answer]:
        """Note a call, and return what its model is imagined to say."""
        told = [key for key, answer in answered.items() if answer.completion_tokens]
        known = [
            Known(characters(questions.request(key, items[key])), answer.prompt_tokens, answer.completion_tokens)
            for key in spread(told, self.sample)
            for answer in [answered[key]]
        ]
        self.calls.append(Call(questions, len(items), pending, known))
        say = self.imagined.get(questions.task.name)
        return {request.key: Answer(say(request.slots)) for request in pending} if say else {}


_COUNT: ContextVar[Count | None] = ContextVar("count", default=None)


@contextmanager
def counting(sample: int, imagined: Imagined | None = None) -> Iterator[list[Call]]:
    """Have `run` note its calls and ask nobody meanwhile: what is not stored has the error `budget`.

    sample: stored answers of each call that are looked at. imagined: what is said in place of what is not stored.
    """
    count = Count(sample, imagined or {})
    token = _COUNT.set(count)
    try:
        yield count.calls
    finally:
        _COUNT.reset(token)


def current() -> Count | None:
    """Return whoever counts at the moment."""
    return _COUNT.get()


def characters(request: Request) -> int:
    """Return how long a prompt is."""
    return sum(len(message["content"]) for message in request.messages)


def spread(things: Sequence[T], most: int) -> list[T]:
    """Return at most so many of the things, evenly over all of them."""
    if len(things) <= most:
        return list(things)
    return [things[place * len(things) // most] for place in range(most)]
