"""What asking will cost, roughly, before it is known."""

from __future__ import annotations

from collections.abc import Sequence

from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Request

#: Of the languages that studies are in, roughly.
CHARACTERS_A_TOKEN = 4


def expected_tokens(request: Request) -> tuple[int, int]:
    """Return a rough count of prompt and answer tokens: four characters a token, a quarter of the longest answer."""
    prompt = sum(len(message["content"]) for message in request.messages) // CHARACTERS_A_TOKEN
    return prompt, longest_answer(request) // 4


def longest_answer(request: Request) -> int:
    """Return how many tokens an answer may have; where nothing limits it, what is taken for most."""
    return int(request.sampling.get("max_tokens", 1024))


def expected_cost(model: Model, request: Request) -> float:
    """Return what a request will cost by that count, in US dollars."""
    return dollars(model, *expected_tokens(request))


def expected(model: Model, requests: Sequence[Request]) -> dict[str, float]:
    """Return what many requests will take by that count: requests, prompt_tokens, answer_tokens, cost."""
    tokens = [expected_tokens(request) for request in requests]
    return {
        "requests": len(requests),
        "prompt_tokens": sum(prompt for prompt, _ in tokens),
        "answer_tokens": sum(answer for _, answer in tokens),
        "cost": sum(dollars(model, *pair) for pair in tokens),
    }


def cost(model: Model, request: Request, answer: Answer) -> float:
    """Return what an answer cost in US dollars; by the rough count where the server told no tokens."""
    if answer.text and not answer.prompt_tokens:
        return expected_cost(model, request)
    return dollars(model, answer.prompt_tokens, answer.completion_tokens)


def dollars(model: Model, prompt: float, answer: float) -> float:
    """Return what so many tokens of prompts and answers cost in US dollars, at the full price."""
    return (prompt * model.price.input + answer * model.price.output) / 1e6
