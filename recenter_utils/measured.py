"""The book's page of measurements: speed beside other tools and limits, large corpora, vLLM, and what faults cost.

All are measured by commands of their own, which write CSV files into data/measured; nothing here measures.
"""

from __future__ import annotations

import csv
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from recenter_utils.errors import RecenterError

BENCHMARKS, CORPORA, VLLM, FAULTS = "benchmarks.csv", "corpora.csv", "vllm.csv", "faults.csv"

_CIRCUMSTANCES = ("machine", "load", "date")

#: What each file must have, and the command that writes it.
COLUMNS = {
    BENCHMARKS: (
        "part", "size", "unit", "seconds", "instead", "instead_seconds", "quicker", "limit", "limit_seconds",
        "over_limit", "peak_mb", "rounds", "note", "growth", "instead_growth", *_CIRCUMSTANCES,
    ),
    CORPORA: (
        "rows", "text_gb", "users", "kept", "seconds", "rows_a_second", "over_limit", "before_mb", "peak_mb",
        *_CIRCUMSTANCES,
    ),
    VLLM: (
        "way", "beside", "ratio", "requests_a_second", "computed_before", "beside_requests_a_second",
        "beside_computed_before", "rounds", "groups", *_CIRCUMSTANCES,
    ),
    FAULTS: ("fault", "injected", "survived", "lost", "asked_twice", "message", "seconds"),
}  # fmt: skip
COMMANDS = {
    BENCHMARKS: "make benchmarks",
    CORPORA: "python -m tests.benchmarks.corpora",
    VLLM: "python -m tests.benchmarks.vllm_use",
    FAULTS: "python -m tests.faults",
}

Rows = list[dict[str, str]]


def page(root: Path) -> str:
    """Return the page as MyST Markdown. root: the workspace. Raises RecenterError where a file lacks a column."""
    parts = [
        "# Measured\n\nHow quick the heavy parts are, and what a study loses where something breaks: measured on a "
        "real machine, with the command that measures it again."
    ]
    for heading, name, shown in (
        ("Speed", BENCHMARKS, _speed),
        ("Corpora of the size of WildChat", CORPORA, _corpora),
        ("vLLM", VLLM, _vllm),
        ("Faults", FAULTS, _faults),
    ):
        rows = _read(root / "data" / "measured" / name)
        parts += [f"## {heading}", *(shown(rows) if rows else [_missing(name)])]
    return "\n\n".join(parts) + "\n"


def cell(text: str) -> str:
    """Return text as it is shown in a cell of a Markdown table."""
    return html.escape(text).replace("|", "\\|")


def _speed(rows: Rows) -> list[str]:
    largest = {row["part"]: row for row in rows}  # sizes come in order
    notes = {part: row["note"] for part, row in largest.items() if row["note"]}
    return [
        _measured(BENCHMARKS, rows),
        "Each part stands beside the tool that a user would pick instead and beside its physical limit: what any way "
        "of doing it has to do. The three take turns in one process, so that a busy machine slows all of them alike. "
        "**Ratios are the results**, medians over up to three turns (a busy machine has time for fewer): *times "
        "quicker* is the tool's time by ours, *times the limit* is ours by the limit's. The *growth* of a part is the "
        "exponent with which its seconds grow over three sizes: 1 is linear, 2 quadratic, and less than 1 where a "
        "fixed cost still weighs.",
        _table(
            ("part", "at", "times quicker", "times the limit", "growth", "the tool's growth", "the tool", "the limit"),
            (
                (
                    row["part"], _size(row), row["quicker"], row["over_limit"], row["growth"], row["instead_growth"],
                    row["instead"], row["limit"],
                )
                for row in largest.values()
            ),
        ),
        "### At three sizes",
        "Seconds are context: they belong to that machine and its load. Memory is that of the whole process at its "
        "peak, libraries and inputs included.",
        _table(
            (
                "part", "size", "seconds", "the tool's", "the limit's", "times quicker", "times the limit", "turns",
                "memory (MB)",
            ),
            (
                (
                    row["part"], _size(row), row["seconds"], row["instead_seconds"], row["limit_seconds"],
                    row["quicker"], row["over_limit"], row["rounds"], row["peak_mb"],
                )
                for row in rows
            ),
        ),
        "### What each part is",
        "\n".join(f"- **{cell(part)}**: {cell(note)}." for part, note in notes.items()),
    ]  # fmt: skip


def _corpora(rows: Rows) -> list[str]:
    return [
        _measured(CORPORA, rows),
        "Generated conversations in the shape of WildChat's go through the local filters of page *01 Users*, once; no "
        "model is asked. *Times the limit* is the time by that of a bare polars scan of the same text. Each size has a "
        "process of its own, whose memory is that at its peak; libraries hold "
        f"{max(float(row['before_mb']) for row in rows):,.0f} MB of it when it begins.",
        _table(
            ("conversations", "text (GB)", "users", "kept", "seconds", "a second", "times the limit", "memory (MB)"),
            (
                (
                    *(f"{int(row['rows']):,}", row["text_gb"], f"{int(row['users']):,}", f"{int(row['kept']):,}"),
                    *(row["seconds"], f"{float(row['rows_a_second']):,.0f}", row["over_limit"]),
                    f"{float(row['peak_mb']):,.0f}",
                )
                for row in rows
            ),
        ),
    ]


def _vllm(rows: Rows) -> list[str]:
    return [
        _measured(VLLM, rows),
        "A tiny model of random weights, on vLLM's build for processors, answers questions in groups with one "
        f"beginning each, {rows[0]['groups']} groups a turn. A ratio is that of requests a second, the median over "
        "rounds in which both ways take turns. *Computed before* is the share of the prompts' tokens that vLLM had "
        "kept. On GPUs, computing weighs more and handing requests around less; none of this was measured there.",
        _table(
            ("way", "beside", "ratio", "requests a second", "computed before", "rounds"),
            (
                (
                    row["way"], row["beside"], row["ratio"],
                    f"{row['requests_a_second']}, {row['beside_requests_a_second']}",
                    f"{float(row['computed_before']):.0%}, {float(row['beside_computed_before']):.0%}", row["rounds"],
                )
                for row in rows
            ),
        ),
    ]  # fmt: skip


def _faults(rows: Rows) -> list[str]:
    injected, survived, lost, twice = (
        sum(int(row[name]) for row in rows) for name in ("injected", "survived", "lost", "asked_twice")
    )
    answers = sum(int(row["injected"]) for row in rows if row["fault"].startswith("server "))
    return [
        f"`{COMMANDS[FAULTS]}` injects each fault into a study and resumes it. A fault is survived where the tables "
        "then equal those of an undisturbed run, and lost where they do not; an answer is asked twice where it was "
        f"stored and asked for again. A server's faults are counted by the answer. Of {injected - answers:,} faults of "
        f"the machine and {answers:,} faulty answers of a server {survived:,} were survived and {lost:,} lost; "
        f"{twice:,} stored answers were asked twice.",
        _table(
            ("fault", "injected", "survived", "lost", "asked twice", "seconds", "what was said"),
            (
                (
                    *(row[name] for name in ("fault", "injected", "survived", "lost", "asked_twice", "seconds")),
                    row["message"],
                )
                for row in rows
            ),
        ),
    ]


def _measured(name: str, rows: Rows) -> str:
    about = rows[0]
    where = f"{cell(about['machine'])}; {cell(about['load'])}"
    return f"Measured by `{COMMANDS[name]}` on {about['date']}. The machine: {where}."


def _missing(name: str) -> str:
    return f"Nothing is measured yet: `{COMMANDS[name]}` measures it and writes `data/measured/{name}`."


def _size(row: dict[str, str]) -> str:
    return f"{int(row['size']):,} {row['unit']}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _read(path: Path) -> Rows:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        rows = list(table)
    if missing := [name for name in COLUMNS[path.name] if name not in (table.fieldnames or ())]:
        raise RecenterError(f"{path} has no column '{missing[0]}': measure again with '{COMMANDS[path.name]}'.")
    return rows
