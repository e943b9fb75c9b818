"""The progress line of a run: rows, tokens a second, what the engine says of itself, cost, time left."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence

from tqdm import tqdm

from recenter_utils.inference.costs import expected
from recenter_utils.inference.engines.base import Engine
from recenter_utils.inference.models import Model
from recenter_utils.inference.requests import Answer, Questions, Request
from recenter_utils.inference.tasks import Task


def say_estimate(questions: Questions, pending: Sequence[Request]) -> None:
    """Say on standard error, before anything is spent, what asking will cost about."""
    model, rough = questions.model, expected(questions.model, pending)
    print(
        f"{questions.task.name} · {model.name}: {rough['requests']:,} requests, about {rough['prompt_tokens']:,} "
        f"prompt and {rough['answer_tokens']:,} answer tokens, about ${rough['cost']:,.2f}",
        file=sys.stderr,
        flush=True,
    )


class Progress:
    """A bar on standard error. In a log (no terminal) it says a line every ten seconds instead."""

    def __init__(self, task: Task, model: Model, total: int, shown: bool) -> None:
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            total=total,
            desc=f"{task.name} · {model.name}",
            unit="row",
            disable=not shown or not total,
            mininterval=0.2 if terminal else 10,
            dynamic_ncols=terminal,
            file=sys.stderr,
        )
        self._started = time.monotonic()
        self._tokens = self._errors = 0
        self._priced = model.priced
        self._unanswered = Counter[str]()  # by what was said of it
        self._engine: Engine | None = None
        self._loading = 0.0

    def watch(self, engine: Engine) -> None:
        """Also say how the engine that is asked fares, and do not count the time in which it loads."""
        self._engine, self._loading = engine, engine.loading

    def close(self) -> None:
        """Leave the line as it stands, and say what got no answer and why."""
        shown = not self._bar.disable  # closing it disables it
        self._bar.close()
        for detail, number in self._unanswered.most_common(1) if shown else ():
            who, left = self._bar.desc.removesuffix(": "), self._unanswered.total()
            print(
                f"{who}: {left:,} of {self._bar.total:,} requests got no answer · {number:,} of them: {detail} · "
                "the next run asks them again",
                file=sys.stderr,
                flush=True,
            )

    def extend(self, rows: int) -> None:
        """Make room for rows that are asked once more."""
        self._bar.total = (self._bar.total or 0) + rows

    def step(self, answer: Answer, spent: float) -> None:
        """Count one answer."""
        self._tokens += answer.prompt_tokens + answer.completion_tokens
        self._errors += answer.error is not None
        if answer.error == "server":
            self._unanswered[answer.detail] += 1
        if self._bar.disable:
            return
        loading = self._engine.loading - self._loading if self._engine else 0.0
        seconds = max(time.monotonic() - self._started - loading, 1e-3)
        note = f"{self._tokens / seconds:,.0f} tokens/s"
        note += f", {own}" if self._engine and (own := self._engine.note()) else ""
        note += f", ${spent:.4f}" if self._priced else ""
        note += f", {self._errors} errors" if self._errors else ""
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update()
