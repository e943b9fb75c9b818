"""The estimate of a study: what is still to be asked, by notebook, task and model, and what that takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from recenter_utils.estimates.forecast import Forecast, Part
from recenter_utils.estimates.stages import all_stages
from recenter_utils.estimates.tokens import Range, Sizes, answer_tokens, prompt_tokens
from recenter_utils.inference.cache import Cache, Work
from recenter_utils.inference.costs import dollars
from recenter_utils.inference.counting import Known
from recenter_utils.inference.models import Model, find_model
from recenter_utils.settings import Models

#: Said of the speed of a model on this machine's GPUs that has not yet worked in this study.
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Line:
    """What one model is asked in one notebook for one task.

    requests: all different ones. pending: of these, those that are not stored. Tokens, dollars and hours are of what is
    pending; hours as fast as it was measured here, or as it was given. None: not known, or not to be paid.
    """

    notebook: str
    task: str
    model: str
    requests: int
    pending: int
    prompt_tokens: int
    answer_tokens: Range
    dollars: Range | None
    hours: Range | None
    gpu_hours: Range | None
    prompts_known: str
    answers_known: str
    speed_known: str


@dataclass(frozen=True)
class Estimate:
    """What a study takes. model: the one that is looked at in the place of each of the study's; None: these."""

    study: str
    model: str | None
    lines: tuple[Line, ...]
    assumed: Mapping[str, Sequence[str]]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; ranges as {low, likely, high}."""
        return {
            "study": self.study,
            "model": self.model,
            "lines": [_plain(asdict(line)) for line in self.lines],
            "total": _plain(total(self.lines)),
            "assumed": {name: list(said) for name, said in self.assumed.items()},
        }


def estimates(
    study: str, models: Sequence[str] = (), sample: int = 200, tokens_per_second: float | None = None
) -> list[Estimate]:
    """Return the estimate for the study's own models, or for each of the models named.

    A model that is named takes the place of one model in every role, so that it does each task once; how many others
    there are beside it stays as the study has it.

    Args:
        study: Its name, or the path of its folder.
        models: Names in the models file.
        sample: Prompts of each task that are looked at.
        tokens_per_second: Of prompts and answers, on one GPU, for models that run on this machine's; None: as measured.

    Raises:
        RecenterError: There is no such study or model, or its chats or requests cannot be read.
    """
    own = Forecast.open(study)
    for name in models:
        find_model(name, own.models)
    sizes: dict[tuple[str, str], Sequence[Known]] = {}
    if not models or (own.cache.is_file() and _tells_of_others(own)):
        _gone_through(own, sample, sizes)
    if not models:
        return [_estimate(own, None, sizes, tokens_per_second)]
    found = []
    for name in dict.fromkeys(models):
        other = Forecast.open(study, models=_in_every_role(name, own.settings.models))
        _gone_through(other, sample, sizes)
        found.append(_estimate(other, name, sizes, tokens_per_second))
    return found


def total(lines: Iterable[Line]) -> dict[str, Any]:
    """Return what lines come to together; what is known of none of them is None."""
    rows = list(lines)
    return {
        "requests": sum(row.requests for row in rows),
        "pending": sum(row.pending for row in rows),
        "prompt_tokens": sum(row.prompt_tokens for row in rows),
        "answer_tokens": Range.total(row.answer_tokens for row in rows),
        "dollars": _known_total(row.dollars for row in rows),
        "hours": _known_total(row.hours for row in rows),
        "gpu_hours": _known_total(row.gpu_hours for row in rows),
    }


def _gone_through(study: Forecast, sample: int, sizes: dict[tuple[str, str], Sequence[Known]]) -> None:
    study.sample = sample
    all_stages(study)
    for part in study.parts:
        asked, known = part.call.questions, part.call.known
        if known:
            key = (asked.model.name, asked.task.name)
            sizes[key] = [*sizes.get(key, ()), *known]


def _tells_of_others(study: Forecast) -> bool:
    """Say whether the study has a language model, whose answers tell how long another one's may be."""
    roles = [role for role, _ in study.settings.models if role != "embedding"]
    return any(model.engine != "embedded" for role in roles for model in study.models_of(role))


def _in_every_role(name: str, models: Models) -> dict[str, Any]:
    roles: dict[str, Any] = {}
    for role, named in models:
        if isinstance(named, tuple):
            roles[role] = named if name in named else (name, *named[1:])
        elif role != "embedding":
            roles[role] = name
    return roles


def _estimate(study: Forecast, model: str | None, sizes: Sizes, tokens_per_second: float | None) -> Estimate:
    parts = [part for part in study.parts if model in (None, part.call.questions.model.name)]
    speeds: dict[str, list[tuple[str, Work]]] = {}
    if study.cache.is_file():
        with Cache(study.cache) as store:
            speeds = {name: store.recorded(name) for name in {part.call.questions.model.name for part in parts}}
    lines: dict[tuple[str, str, str], Line] = {}
    for part in parts:
        line = _line(study, part, sizes, speeds, tokens_per_second)
        key = (line.notebook, line.task, line.model)
        lines[key] = _added(lines[key], line) if key in lines else line
    asking = {line.notebook for line in lines.values()}
    assumed = {name: said for name, said in study.assumed.items() if name in asking}
    return Estimate(study.name, model, tuple(lines.values()), assumed)


def _line(
    study: Forecast,
    part: Part,
    sizes: Sizes,
    speeds: Mapping[str, list[tuple[str, Work]]],
    tokens_per_second: float | None,
) -> Line:
    model, task, pending = part.call.questions.model, part.call.questions.task.name, part.call.pending
    prompts, prompts_known = prompt_tokens(model, pending, sizes, study.sample)
    answers, answers_known = answer_tokens(model, pending, sizes, study.models)
    prompts, answers = prompts * part.scale, answers.times(part.scale)
    tokens = Range(*(prompts + answer for answer in answers))
    hours, gpu_hours, speed_known = _time(model, task, tokens, speeds.get(model.name, []), tokens_per_second)
    return Line(
        part.notebook,
        task,
        model.name,
        round(part.call.requests * part.scale),
        round(len(pending) * part.scale),
        round(prompts),
        answers,
        Range(*(dollars(model, prompts, answer) for answer in answers)) if model.priced else None,
        hours,
        gpu_hours,
        prompts_known,
        answers_known,
        speed_known if pending else "",
    )


def _time(
    model: Model, task: str, tokens: Range, measured: list[tuple[str, Work]], given: float | None
) -> tuple[Range | None, Range | None, str]:
    """Return hours, GPU-hours, and in words how they are known: by this task's speed, else by that of all tasks."""
    if given and model.engine == "vllm":
        return None, tokens.times(1 / given / 3600), "as it was given"
    works = [work for asked, work in measured if asked == task] or [work for _, work in measured]
    done = sum(work.prompt_tokens + work.completion_tokens for work in works)
    if not done:
        return None, None, NOT_MEASURED if model.engine == "vllm" else ""
    seconds = sum(work.seconds for work in works)
    hours = tokens.times(seconds / done / 3600)
    said = f"as measured, {done / seconds:,.0f} tokens/s"
    if not all(work.gpus for work in works):
        return hours, None, said
    gpu_seconds = sum(work.seconds * (work.gpus or 0) for work in works)
    return hours, tokens.times(gpu_seconds / done / 3600), said


def _added(one: Line, other: Line) -> Line:
    """Return two calls for the same task in the same notebook as one line."""
    known = other if other.pending else one
    summed = total([one, other])
    return Line(
        one.notebook,
        one.task,
        one.model,
        **summed,
        prompts_known=known.prompts_known,
        answers_known=known.answers_known,
        speed_known=known.speed_known,
    )


def _known_total(ranges: Iterable[Range | None]) -> Range | None:
    known = [found for found in ranges if found is not None]
    return Range.total(known) if known else None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value._asdict() if isinstance(value, Range) else value for name, value in values.items()}
