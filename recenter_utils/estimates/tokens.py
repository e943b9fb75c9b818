"""How many tokens prompts and answers are: by the model's own tokenizer, by stored answers, or by a rough count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from recenter_utils.inference.costs import CHARACTERS_A_TOKEN, longest_answer
from recenter_utils.inference.counting import Known, characters, spread
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Request

#: Of the longest answer that a task allows, what an answer of unknown length may be: least, likely, most.
SHARES = (1 / 16, 1 / 4, 1)
OF_UNKNOWN_LENGTH = "of unknown length"

#: Sizes of stored answers, by model and task.
Sizes = Mapping[tuple[str, str], Sequence[Known]]


class Range(NamedTuple):
    """A number that is known only so far: least, likely, most."""

    low: float
    likely: float
    high: float

    def times(self, factor: float) -> Range:
        """Return the range scaled."""
        return Range(*(value * factor for value in self))

    @classmethod
    def total(cls, ranges: Iterable[Range]) -> Range:
        """Return the sum, least with least and most with most."""
        rows = list(ranges)
        return cls(*(sum(row[place] for row in rows) for place in range(3)))


def prompt_tokens(model: Model, pending: Sequence[Request], sizes: Sizes, sample: int) -> tuple[float, str]:
    """Return how many tokens the prompts of all pending requests are, and in words how that is known.

    sample: prompts that are looked at, spread evenly over all.
    """
    if not pending:
        return 0.0, ""
    looked_at = spread(pending, sample)
    if count := tokenizer(model):
        each = sum(count(request.messages) for request in looked_at) / len(looked_at)
        return each * len(pending), "by its own tokenizer"
    each = sum(map(characters, looked_at)) / len(looked_at)
    same = sizes.get((model.name, looked_at[0].task)) or [
        known for (name, _), rows in sizes.items() if name == model.name for known in rows
    ]
    if read := sum(known.prompt_tokens for known in same):
        rate = sum(known.characters for known in same) / read
        return each / rate * len(pending), f"as its stored answers tell: {rate:.1f} characters a token"
    return each / CHARACTERS_A_TOKEN * len(pending), f"roughly: {CHARACTERS_A_TOKEN} characters a token"


def answer_tokens(
    model: Model, pending: Sequence[Request], sizes: Sizes, models: Mapping[str, Model]
) -> tuple[Range, str]:
    """Return how many tokens the answers to all pending requests may be, and in words how that is known.

    models: the study's, by name. The answers of embedded ones say nothing of what language models write.
    """
    if not pending:
        return Range(0, 0, 0), ""
    task = pending[0].task
    if own := sizes.get((model.name, task)):
        mean = sum(known.completion_tokens for known in own) / len(own)
        return Range(mean, mean, mean).times(len(pending)), "as long as its stored answers"
    means = [
        sum(known.completion_tokens for known in rows) / len(rows)
        for (name, asked), rows in sizes.items()
        if asked == task and name in models and models[name].engine != "embedded"
    ]
    if means:
        likely = sum(means) / len(means)
        return Range(min(means), likely, max(means)).times(len(pending)), "as long as other models' stored answers"
    longest = longest_answer(pending[0])
    return Range(*(longest * share * len(pending) for share in SHARES)), OF_UNKNOWN_LENGTH


@cache
def _loaded(name: str, revision: str | None) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, revision=revision, local_files_only=True)
    except Exception:  # not on this machine, or nothing that this transformers reads: then there is none
        return None


def tokenizer(model: Model) -> Callable[[list[dict[str, str]]], int] | None:
    """Return what counts a chat's tokens as the model does, where its tokenizer is on this machine."""
    name = str(model.options.get("model") or model.asked_name)
    if model.engine == "embedded" or not ("/" in name or Path(name).is_dir()):
        return None
    found = _loaded(name, model.options.get("revision"))
    if found is None or not getattr(found, "chat_template", None):
        return None
    template = model.options.get("chat_template_kwargs", {})

    def count(messages: list[dict[str, str]]) -> int:
        encoded = found.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, **template)
        return len(encoded["input_ids"] if hasattr(encoded, "keys") else encoded)

    return count
