"""Asking generators for responses, generic and personalised (§6.1), and recording what became of each."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.errors import SilentError
from recenter_utils.inference.models import Model
from recenter_utils.inference.run import run, unanswered, worth_asking
from recenter_utils.inference.tasks import GENERIC_RESPONSE, PERSONALISED_RESPONSE
from recenter_utils.responses.refusals import is_refusal
from recenter_utils.settings.responses import Responses
from recenter_utils.tables import table


def ask(
    instances: pl.DataFrame,
    prompts: pl.DataFrame,
    models: Sequence[Model],
    rules: Responses,
    *,
    cache: Path | None = None,
    max_cost: float | None = None,
    progress: bool = True,
) -> tuple[pl.DataFrame, int]:
    """Ask every model for a generic response to each request, and a personalised one to each request of a user.

    Generators are not needed all at once: where a model's server answers nothing, all that it was asked for failed, and
    the others go on.

    Args:
        instances: Requests with a user and the attributes that are given; see `instances.sampled`.
        prompts: The table.
        models: Who is asked, in order.
        rules: Temperature and length.
        cache: File of stored answers: what it holds is not asked again.
        max_cost: US dollars for each model, over both kinds of response.
        progress: Whether to say how far it is.

    Returns:
        The table `responses`, a row a response that was asked for, and how many are worth asking for again.

    Raises:
        RecenterError: No model answered any request, because of their servers.
    """
    sampling = {"temperature": rules.temperature, "max_tokens": rules.max_tokens}
    texts = dict(prompts.select("prompt_id", "text").iter_rows())
    rows = instances.to_dicts()
    requests = dict.fromkeys(row["prompt_id"] for row in rows)
    asked = (
        (GENERIC_RESPONSE, [{"prompt_id": name, "prompt": texts[name]} for name in requests]),
        (PERSONALISED_RESPONSE, [_with_attributes(row, texts[row["prompt_id"]]) for row in rows]),
    )
    found: list[dict[str, Any]] = []
    waiting = 0
    silent: list[SilentError] = []
    for model in models if rows else ():
        left = max_cost
        for task, items in asked:
            try:
                answers = run(task, items, model, cache=cache, sampling=sampling, max_cost=left, progress=progress)
                waiting += unanswered(answers)
            except SilentError as problem:
                silent.append(problem)
                answers = problem.answers
                waiting += worth_asking(answers)
                if progress:
                    print(f"{task.name} · {problem}", file=sys.stderr, flush=True)
            if left is not None:
                left = max(0.0, left - float(answers["cost"].sum()))
            found += [
                _response(item, model.name) | outcome(answer)
                for item, answer in zip(items, answers.to_dict("records"), strict=True)
            ]
    if silent and all(row["error"] == "server" for row in found):
        raise silent[0]
    return table("responses").frame(found), waiting


def outcome(answer: Mapping[Any, Any]) -> dict[str, str | None]:
    """Return what became of a request for a response: status, text and error. answer: a row of `run`."""
    error = answer["error"] if isinstance(answer["error"], str) else None
    if error in ("refused", None):
        text = answer["text"] if error is None else None
        status = "refused" if error or is_refusal(text or "") else "answered" if text else "empty"
        return {"status": status, "text": text or None, "error": error}
    # Any text is a response: an answer that could not be parsed is one without a character.
    if error == "unparsed":
        return {"status": "empty", "text": None, "error": None}
    return {"status": "failed", "text": None, "error": error}


def outcomes(responses: pl.DataFrame) -> pl.DataFrame:
    """Return what became of each generator's responses: generator, condition, asked, a column a status, why.

    responses: the table. why: the errors behind failures and refusals by the server, with how often.
    """
    errors = responses.drop_nulls("error").group_by("generator", "condition", "error").len().sort("error")
    why = errors.group_by("generator", "condition", maintain_order=True).agg(
        pl.format("{} {}", "len", "error").str.join(", ").alias("why")
    )
    counted = responses.group_by("generator", "condition", maintain_order=True).agg(
        pl.len().alias("asked"),
        *((pl.col("status") == status).sum().alias(status) for status in ("answered", "refused", "empty", "failed")),
    )
    joined = counted.join(why, on=["generator", "condition"], how="left", maintain_order="left")
    return joined.with_columns(pl.col("why").fill_null(""))


def _with_attributes(row: Mapping[str, Any], prompt: str) -> dict[str, Any]:
    return {**row, "prompt": prompt, "attributes": [{"attribute": words} for words in row["attributes"]]}


def _response(item: Mapping[str, Any], generator: str) -> dict[str, Any]:
    """Return who was asked for what; an item without a user is a request for a generic response."""
    user = item.get("user_id")
    condition = "personalised" if user else "generic"
    names = (item["prompt_id"], user, generator, condition)
    return {
        "response_id": "/".join(filter(None, names)),
        "prompt_id": item["prompt_id"],
        "user_id": user,
        "generator": generator,
        "condition": condition,
        "attribute_ids": item.get("attribute_ids", []),
    }
