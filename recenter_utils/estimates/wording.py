"""An estimate as the terminal shows it: a table, and below it in words what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from recenter_utils.estimates.planner import NOT_MEASURED, Estimate, Line, total
from recenter_utils.estimates.tokens import OF_UNKNOWN_LENGTH, SHARES, Range

_HEAD = ("notebook", "task", "model", "requests", "to ask", "prompt tokens", "answer tokens", "US dollars", "GPU-hours")
_LEFT = 3  # columns of words


def worded(found: Sequence[Estimate]) -> str:
    """Return estimates as text."""
    return "\n\n".join(map(_one, found))


def _one(estimate: Estimate) -> str:
    who = f"with {estimate.model} in every role" if estimate.model else "with its own models"
    lines = estimate.lines
    if not lines:
        return f"Study '{estimate.study}' {who}: no model is asked anything."
    asked: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        asked.setdefault((line.notebook, line.task), []).append(line)
    rows = [_row(notebook, task, part) for (notebook, task), part in asked.items()]
    names = list(dict.fromkeys(line.model for line in lines))
    totals = [_row("total", "", [line for line in lines if line.model == name]) for name in names]
    if len(names) > 1:
        totals.append(_row("total", "", list(lines)))
    said = "\n".join(f"- {sentence}" for sentence in _sentences(estimate))
    return f"Study '{estimate.study}' {who}\n{_table([_HEAD, *rows], totals)}\n\n{said}"


def _row(notebook: str, task: str, lines: list[Line]) -> tuple[str, ...]:
    names = {line.model for line in lines}
    summed = total(lines)
    gpu_hours = _span(summed["gpu_hours"], _hours)
    if summed["gpu_hours"] and any(line.speed_known == NOT_MEASURED for line in lines):
        gpu_hours = f"over {gpu_hours}"
    return (
        notebook,
        task,
        next(iter(names)) if len(names) == 1 else f"{len(names)} models",
        f"{summed['requests']:,}",
        f"{summed['pending']:,}",
        _short(summed["prompt_tokens"]),
        _span(summed["answer_tokens"], _short),
        _span(summed["dollars"], _money),
        gpu_hours,
    )


def _table(rows: list[tuple[str, ...]], totals: list[tuple[str, ...]]) -> str:
    widths = [max(len(row[place]) for row in rows + totals) for place in range(len(_HEAD))]

    def line(row: tuple[str, ...]) -> str:
        cells = [cell.ljust(width) for cell, width in zip(row[:_LEFT], widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(row[_LEFT:], widths[_LEFT:], strict=True)]
        return "  ".join(cells).rstrip()

    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    head, *body = map(line, rows)
    return "\n".join([head, rule, *body, rule, *map(line, totals)])


def _sentences(estimate: Estimate) -> Iterable[str]:
    """Say what the numbers rest on, and what is not in them."""
    asked = [line for line in estimate.lines if line.pending]
    if not asked:
        yield "Every answer is stored: nothing is asked, and nothing is paid."
    for notebook, said in estimate.assumed.items():
        yield f"{notebook} has no tables yet. Taken to be so: {'; '.join(said)}."
    for how, names in _by(asked, "prompts_known"):
        yield f"Tokens of prompts, {how} ({names})."
    unknown = False
    for how, names in _by(asked, "answers_known"):
        unknown |= how == OF_UNKNOWN_LENGTH
        yield f"Answers {how} ({names})."
    if unknown:
        least, likely, most = (f"1/{1 / share:.0f}" if share < 1 else "all" for share in SHARES)
        yield (
            f"An answer of unknown length takes from {least} to {most} of the longest that its task allows, likely "
            f"about {likely}. Stored answers tell more: let one notebook run."
        )
    for how, names in _by(asked, "speed_known"):
        if how == NOT_MEASURED:
            yield (
                f"GPU-hours are not known ({names}): its speed was not measured here. Let one notebook run on GPUs, or "
                "give --tokens-per-second, of prompts and answers together, for one GPU."
            )
        elif hours := total(line for line in asked if line.speed_known == how)["hours"]:
            yield f"Time, {how} ({names}): {_span(hours, _hours)} hours, one notebook at a time."
        else:
            yield f"GPU-hours, {how} ({names})."
    if asked:
        yield (
            "Not in it: second tries of answers that cannot be read, lower prices of batch interfaces and of prompts "
            "that a provider has stored, and training (14, 15, 24 and the encoder of 08)."
        )


def _by(lines: list[Line], name: str) -> Iterable[tuple[str, str]]:
    """Return what is said of lines under `name`, each with the models that it is said of."""
    found: dict[str, list[str]] = {}
    for line in lines:
        if said := getattr(line, name):
            found.setdefault(said, []).append(line.model)
    for said, models in found.items():
        yield said, ", ".join(dict.fromkeys(models))


def _span(value: Range | None, show: Callable[[float], str]) -> str:
    if value is None:
        return "–"
    low, high = show(value.low), show(value.high)
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 10 * size:
            return f"{value / size:,.0f} {unit}"
    return f"{value:,.0f}"


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _hours(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}" if value >= 0.01 or not value else "<0.01"
