"""The book's page of measurements: speed beside other tools and physical limits, and what faults cost.

Both are measured by commands of their own, which write CSV files into data/measured; nothing here measures.
"""

from __future__ import annotations

import csv
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from recenter_utils.errors import RecenterError

BENCHMARKS, FAULTS = "benchmarks.csv", "faults.csv"

#: What each file must have, and the command that writes it.
COLUMNS = {
    BENCHMARKS: (
        "part", "size", "unit", "seconds", "instead", "instead_seconds", "quicker", "limit", "limit_seconds",
        "over_limit", "peak_mb", "rounds", "note", "growth", "instead_growth", "machine", "load", "date",
    ),
    FAULTS: ("fault", "injected", "survived", "lost", "asked_twice", "message", "seconds"),
}  # fmt: skip
COMMANDS = {BENCHMARKS: "make benchmarks", FAULTS: "python -m tests.faults"}

Rows = list[dict[str, str]]


def page(root: Path) -> str:
    """Return the page as MyST Markdown. root: the workspace. Raises RecenterError where a file lacks a column."""
    speed, faults = (_read(root / "data" / "measured" / name) for name in (BENCHMARKS, FAULTS))
    parts = [
        "# Measured\n\nHow quick the heavy parts are, and what a study loses where something breaks: measured on a "
        "real machine, with the command that measures it again.",
        "## Speed",
        *(_speed(speed) if speed else [_missing(BENCHMARKS)]),
        "## Faults",
        *(_faults(faults) if faults else [_missing(FAULTS)]),
    ]
    return "\n\n".join(parts) + "\n"


def cell(text: str) -> str:
    """Return text as it is shown in a cell of a Markdown table."""
    return html.escape(text).replace("|", "\\|")


def _speed(rows: Rows) -> list[str]:
    about = rows[0]
    largest = {row["part"]: row for row in rows}  # sizes come in order
    notes = {part: row["note"] for part, row in largest.items() if row["note"]}
    return [
        f"Measured by `make benchmarks` (`python -m tests.benchmarks`) on {about['date']}. The machine: "
        f"{cell(about['machine'])}; {cell(about['load'])}.",
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


def _faults(rows: Rows) -> list[str]:
    injected, survived = (sum(int(row[name]) for row in rows) for name in ("injected", "survived"))
    lost, twice = (sum(int(row[name]) for row in rows) for name in ("lost", "asked_twice"))
    return [
        f"`{COMMANDS[FAULTS]}` injects each fault into a study and resumes it. A fault is survived where the tables "
        "then equal those of an undisturbed run, and lost where they do not; an answer is asked twice where it was "
        f"stored and asked for again. Of {injected} injected faults {survived} were survived and {lost} lost; {twice} "
        "stored answers were asked twice.",
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
