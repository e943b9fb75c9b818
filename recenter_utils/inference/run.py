"""`run`: the one way in which models are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from recenter_utils.errors import SilentError
from recenter_utils.inference import counting
from recenter_utils.inference.cache import Cache
from recenter_utils.inference.costs import expected
from recenter_utils.inference.engines import Engine, open_engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.progress import say_estimate
from recenter_utils.inference.requests import Answer, Questions, Request
from recenter_utils.inference.session import TRIES, Session, on_own_loop, parse
from recenter_utils.inference.tasks import Task

Items = pd.DataFrame | pl.DataFrame | Sequence[Mapping[str, Any]]


def run(
    task: Task,
    items: Items,
    model: Model,
    *,
    cache: Path | None = None,
    sampling: Mapping[str, Any] | None = None,
    sample: int = 0,
    max_cost: float | None = None,
    batch: bool = False,
    progress: bool = True,
    engine: Engine | None = None,
) -> pd.DataFrame:
    """Ask `model` to do `task` for every item, and return one row an item, in order.

    items: rows with a value for each slot of the task's prompt; further columns are not looked at.
    cache: file of stored answers; what it holds is not asked again, and what is asked is stored as it arrives.
    sampling: settings that override the prompt's; `sample`: draws a further, independent answer.
    max_cost: US dollars after which nothing more is asked; rows left over carry the error `budget`.
    batch: hand the requests in through the server's batch interface where it has one (slower, cheaper); so does
        `batch: true` in the model's entry.
    engine: an engine to use instead of opening the model's.

    While somebody counts (see `counting.counting`), it notes what it would ask and asks nobody.

    Columns: the fields of the answer; error (context_length, unparsed, truncated, refused, server, budget, or
    missing), detail and raw (the text as it came); model, prompt_version, prompt_tokens, completion_tokens, cost
    (US dollars spent in this run, at the full price), cached. A task with a final line also has score: the probability
    of its yes against its no, 0 to 1, or missing where the engine gives no log-probabilities. A bad row never stops
    the others, and is asked again by the next run.

    Raises RecenterError for what no row can answer for: a missing key, a server that cannot be reached at all
    (SilentError), an unusable cache, an item without a slot.
    """
    questions = Questions.of(task, model, sampling, sample)
    with ExitStack() as stack:
        count = counting.current()
        store = stack.enter_context(Cache(cache)) if cache and (count is None or cache.is_file()) else None
        plan = _plan(questions, items, store)
        if count is not None:
            session = Session(questions, [], {}, None, max_cost=None, progress=False)
            session.cut_short = True
            session.answers = count.take(questions, plan.pending, plan.final, plan.items)
            return _frame(questions, plan, session)
        if plan.pending and engine is None:
            engine = open_engine(model, cache)
        session = Session(questions, plan.pending, plan.tries, store, max_cost, progress)
        if progress and plan.pending and model.priced:
            say_estimate(questions, plan.pending)
        if plan.pending and engine:
            try:
                on_own_loop(session.ask_all(engine, batch or model.batch))
            except SilentError as problem:
                problem.answers = _frame(questions, plan, session)
                raise
            if store:
                # Another run may have stored an answer first: what the cache says is what holds.
                for key, held in store.look_up(request.key for request in plan.pending).items():
                    own = session.answers.get(key)
                    same = own is not None and (own.text, own.score) == (held.answer.text, held.answer.score)
                    if held.answer.error is None and not same:
                        session.answers[key] = held.answer
                        session.parsed.pop(key, None)
    return _frame(questions, plan, session)


def unanswered(answers: pd.DataFrame) -> int:
    """Return how many rows got no answer through no fault of their own: they are worth asking again as they are.

    Raises SilentError where that is true of every row because of the server: a study must not go on from nothing.
    """
    if len(answers) and (answers["error"] == "server").all():
        model, detail = answers["model"].iloc[0], answers["detail"].iloc[0]
        sentence = f"Model '{model}' answered none of {len(answers):,} requests ({detail}): mend that, run again."
        raise SilentError(sentence, answers)
    return worth_asking(answers)


def worth_asking(answers: pd.DataFrame) -> int:
    """Return how many rows have no answer for a reason that may pass: the server, or the budget."""
    return int(answers["error"].isin(["server", "budget"]).sum())


def estimate(
    task: Task,
    items: Items,
    model: Model,
    *,
    cache: Path | None = None,
    sampling: Mapping[str, Any] | None = None,
    sample: int = 0,
) -> dict[str, float]:
    """Return how many requests, tokens and US dollars `run` would need beyond what the cache holds.

    Requests are exact but for second tries; tokens and dollars are rough (see `costs`).
    """
    questions = Questions.of(task, model, sampling, sample)
    with ExitStack() as stack:
        store = stack.enter_context(Cache(cache)) if cache and cache.is_file() else None
        pending = _plan(questions, items, store).pending
    return expected(model, pending)


@dataclass(slots=True)
class _Plan:
    """What the cache answers for good, and what has to be asked."""

    items: dict[bytes, Mapping[str, Any]]  # one a question
    keys: list[bytes]  # one an item
    final: dict[bytes, Answer]
    tries: dict[bytes, int]
    pending: list[Request]


def _plan(questions: Questions, items: Items, store: Cache | None) -> _Plan:
    rows: Any = items
    if isinstance(items, pd.DataFrame):
        rows = items.to_dict("records")
    elif isinstance(items, pl.DataFrame):
        rows = items.to_dicts()
    keys = questions.keys(rows)
    unique = dict(zip(keys, rows, strict=True))
    known = store.look_up(unique) if store else {}
    final, tries = {}, {}
    for key, stored in known.items():
        if stored.answer.error is None:
            final[key] = stored.answer
        elif questions.repeatable:
            tries[key] = stored.unusable
            if stored.unusable >= TRIES:
                final[key] = stored.answer
    pending = [questions.request(key, slots) for key, slots in unique.items() if key not in final]
    return _Plan(unique, keys, final, tries, pending)


def _frame(questions: Questions, plan: _Plan, session: Session) -> pd.DataFrame:
    task, final = questions.task, plan.final
    left_over = Answer(error="server", detail="the engine gave no answer")
    if session.cut_short:
        left_over = Answer(error="budget", detail="not asked: max_cost was reached")
    answers, values = [], []
    for key in plan.keys:
        answer = final.get(key) or session.answers.get(key) or left_over
        fields = session.parsed.get(key)
        if fields is None and answer.error is None:
            fields = parse(task, answer, plan.items[key])
            if fields is not None:
                session.parsed[key] = fields
        answers.append(answer)
        values.append(fields)
    costs = dict(session.cost)
    columns: dict[str, Any] = {
        name: [None if fields is None else getattr(fields, name) for fields in values]
        for name in task.output.model_fields
    }
    if task.line:
        columns["score"] = pd.Series([answer.score for answer in answers], dtype=object)  # None stays None
    columns["error"] = [answer.error for answer in answers]
    columns["detail"] = [answer.detail for answer in answers]
    columns["raw"] = [answer.text for answer in answers]
    columns["model"] = questions.model.name
    columns["prompt_version"] = task.prompt.version
    columns["prompt_tokens"] = [answer.prompt_tokens for answer in answers]
    columns["completion_tokens"] = [answer.completion_tokens for answer in answers]
    columns["cost"] = [costs.pop(key, 0.0) for key in plan.keys]  # a question's first row bears its cost
    columns["cached"] = [key in final or key in session.held for key in plan.keys]
    return pd.DataFrame(columns, index=range(len(plan.keys)))
