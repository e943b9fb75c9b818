"""LIMA: the requests that attributes are paired with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from recenter_utils.corpora.cleaning import REPLACED, identifier, text
from recenter_utils.corpora.records import Fault, Record, records, stem
from recenter_utils.errors import RecenterError

#: What a row may hold, as an example in errors.
_EXAMPLE = '{"prompt_id": "q1", "text": "Plan five quick dinners."}'


def read_prompts(path: Path) -> pl.DataFrame:
    """Return prompts: prompt_id, source, text; prompts are few and chosen, so a bad row is a RecenterError.

    Rows are the hub's {conversations: [request, answer, …], source}, whose prompts are called `lima_<row from 0>`,
    or {question_id, question}, or {prompt_id, text}. `source` is the row's own, else the file's name.
    """
    rows, seen = [], dict[str, int]()
    for record in records(path):
        if isinstance(record, Fault):
            raise RecenterError(
                f"{path}: row {record.row} of {record.file}: {record.reason}. A row is JSON on one line, such as "
                f"{_EXAMPLE}."
            )
        name, request = _prompt(record)
        if name is None or not isinstance(request, str) or not request.strip():
            raise RecenterError(
                f"{path}: row {record.row} of {record.file} is no prompt: {_lacking(record, name)}. It needs "
                f"conversations, question_id and question, or prompt_id and text, such as {_EXAMPLE}."
            )
        if name in seen:
            raise RecenterError(f"{path}: prompt '{name}' stands in row {seen[name]} and in row {record.row}.")
        seen[name] = record.row
        words, repairs = text(request)
        if REPLACED in repairs:
            # Judges and models would be asked about a broken word.
            raise RecenterError(f"{path}: row {record.row} of {record.file} is not UTF-8; save the file as UTF-8.")
        own = record.value.get("source")
        rows.append((name, text(own)[0] if isinstance(own, str) and own else stem(record.file), words))
    schema = {"prompt_id": pl.String, "source": pl.String, "text": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _prompt(record: Record) -> tuple[str | None, Any]:
    value: Any = record.value
    if not isinstance(value, dict):
        return None, None
    turns = value.get("conversations")
    if isinstance(turns, list) and turns:
        return f"lima_{record.row - 1}", turns[0]
    name = identifier(value.get("prompt_id", value.get("question_id")))
    return name, value.get("text", value.get("question"))


def _lacking(record: Record, name: str | None) -> str:
    if not isinstance(record.value, dict):
        return "it is no JSON object"
    if name is None:
        return "its prompt_id is missing or blank"
    return "its text is missing or blank"
